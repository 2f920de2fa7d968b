// Package backoff says how long to wait before something that failed is tried again. Who lost the same server does not come back to
// it at the same moment: pauses are partly random.
//
//	for n := 0; ; n++ {
//		if err := try(); err == nil {
//			return nil
//		}
//		if err := backoff.Sleep(ctx, backoff.Pause(n, 100*time.Millisecond, 30*time.Second)); err != nil {
//			return err
//		}
//	}
package backoff
