package mysql

import (
	"fmt"
	"strings"
	"testing"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/google/uuid"
)

// BenchmarkGTIDSet measures what a commit and what a frame costs when the set has many servers, as behind a long history of
// failovers: the text is made for each frame only.
func BenchmarkGTIDSet(b *testing.B) {
	for _, servers := range []int{1, 20, 2000} {
		var parts []string
		for i := range servers {
			parts = append(parts, fmt.Sprintf("%08x-0000-4000-8000-000000000000:1-1000", i+1))
		}
		set, err := parseGTIDs(FlavorMySQL, strings.Join(parts, ","))
		if err != nil {
			b.Fatal(err)
		}
		sid := uuid.MustParse("00000001-0000-4000-8000-000000000000")
		number := int64(1001)
		b.Run(fmt.Sprintf("commit/%d-servers", servers), func(b *testing.B) {
			for b.Loop() {
				set.addMySQL(sid, gomysql.Tag{}, number)
				number++
			}
		})
		b.Run(fmt.Sprintf("text/%d-servers", servers), func(b *testing.B) {
			for b.Loop() {
				set.valid = false
				_ = set.String()
			}
		})
	}
}
