package form_test

import (
	"fmt"

	"github.com/cdcd-project/cdcd/sinks/form"
)

// The records of an object, whatever its format, are read by how its key ends.
func Example() {
	f, err := form.Of("p=00/dt=2026-11-21/00000000000000000001.csv")
	if err != nil {
		panic(err)
	}
	body := "id,op,change,commit_time,table,feed,rules,tags,key,lookup,absent,source,gtid,file,pos,row,no,part_no,before_id,after_id\r\n" +
		"0-1-17/0,insert,,2026-11-21T02:00:00.000000Z,shop.orders,acme,[],,,,\"[\"\"before\"\"]\",shop,0-1-17,binlog.000001,4,0,1,1,,42\r\n"
	lines, err := f.Unseal([]byte(body))
	if err != nil {
		panic(err)
	}
	for record := range f.Records(lines) {
		fmt.Printf("%.17s\n", record)
	}
	// Output: 0-1-17/0,insert,,
}
