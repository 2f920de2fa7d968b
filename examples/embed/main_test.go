package main

// The program prints what it says here.
func Example() {
	main()
	// Output:
	// test of lost-and-dear passed: lost, and dear
	// test of lost-and-dear passed: cheap
	// depot: scan-1/0 insert by near-the-depot entered
	//   before null
	//   after  {"id":7,"status":"sent","value":"250.00","lat":48.41,"lon":10.01}
	// depot: scan-2/0 update by near-the-depot left
	//   before {"id":7,"status":"sent","value":"250.00","lat":48.41,"lon":10.01}
	//   after  null
	// depot: scan-2/1 update by near-the-depot stayed
	//   before {"id":7,"status":"sent","value":"250.00","lat":48.41,"lon":10.01}
	//   after  {"id":7,"status":"lost","value":"250.00","lat":48.41,"lon":10.01}
	// support: scan-2/1 update by lost-and-dear
	//   before {"id":7,"status":"sent","value":"250.00","lat":48.41,"lon":10.01}
	//   after  {"id":7,"status":"lost","value":"250.00","lat":48.41,"lon":10.01}
	//
	// lost-and-dear does not match because after.status is 'sent', not 'lost'; and status did not change (it is 'sent')
	//   when
	//     ✗ after.status == 'lost' && changed('status') && after.value >= 100
	//       ✗ after.status == 'lost'                                           ← decides
	//           after.status                                                   'sent'
	//       ✗ changed('status')                                                ← decides
	//       ✓ after.value >= 100
	//           after.value                                                    250.00
}
