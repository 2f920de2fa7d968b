// Package match finds, of many conditions on a row change, those that are not false of it, without asking each.
package match
