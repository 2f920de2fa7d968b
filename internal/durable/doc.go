// Package durable writes files that survive a crash, whole or not at all: into a file beside, synced, renamed, and the folder
// synced, in this order.
//
//	disk := durable.New()
//	err := disk.Replace("audit/checkpoint", text, 0o644)
package durable
