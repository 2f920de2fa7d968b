package envelope

import (
	"reflect"
	"testing"
	"time"
)

func TestARecordIsReadInEachEnvelope(t *testing.T) {
	at := time.Date(2026, 11, 21, 5, 0, 3, 123_456_000, time.UTC)
	whole := Record{ID: "0-1-17/3", Op: "update", Table: "shop.orders", Key: []string{"42", "a,b"}, Time: at, Feed: "acme", Source: "shop", PartNo: 7, Rules: []string{"big", "paid"}}
	debezium := `{"before":null,"after":{"id":42},"source":{"connector":"mariadb","name":"shop","ts_ms":1795237203123,"ts_us":1795237203123456,"db":"shop","table":"orders"},
		"op":"u","ts_ms":1,"cdcd":{"id":"0-1-17/3","feed":"acme","op":"update","key":{"id":42,"no":"a,b"},"part_no":7,"rules":[{"name":"big","version":"v1"},{"name":"paid"}]}}`
	event, row := whole, whole
	event.CloudEvent = true
	row.Source, row.PartNo = "", 0
	for name, c := range map[string]struct {
		text string
		want Record
	}{
		"cdcd": {`{"id":"0-1-17/3","op":"update","commit_time":"2026-11-21T05:00:03.123456Z","table":"shop.orders","key":{"id":42,"no":"a,b"},"feed":"acme",
			"rules":[{"name":"big"},{"name":"paid"}],"source":{"name":"shop","part_no":7},"payload":{"a":1}}`, whole},
		"Debezium":                 {debezium, whole},
		"Debezium with its schema": {`{"schema":{"type":"struct"},"payload":` + debezium + `}`, whole},
		"CloudEvents": {`{"specversion":"1.0","id":"0-1-17/3","source":"cdcd/shop/acme","type":"cdcd.change.v1","subject":"shop.orders","time":"2026-11-21T05:00:03.123456Z",
			"sequence":"00000000000000000007","partitionkey":"{\"id\":42,\"no\":\"a,b\"}","cdcdop":"update","data":{"rules":[{"name":"big"},{"name":"paid"}]}}`, event},
		"CSV":             {`0-1-17/3,update,,2026-11-21T05:00:03.123456Z,shop.orders,acme,"[{""name"":""big""},{""name"":""paid""}]",,"{""id"":42,""no"":""a,b""}",42`, row},
		"without a key":   {`{"id":"1","table":"shop.log","key":null,"commit_time":"2026-11-21T05:00:03.123456Z"}`, Record{ID: "1", Table: "shop.log", Time: at}},
		"a null in a key": {`{"id":"1","table":"t.t","key":{"a":null},"commit_time":"2026-11-21T05:00:03.123456Z"}`, Record{ID: "1", Table: "t.t", Key: []string{"null"}, Time: at}},
		"nothing":         {``, Record{}},
		"no record":       {`{"hello":"world"}`, Record{}},
		"a short row":     {`a,b,c`, Record{}},
		"a torn payload":  {`{"schema":{},"payload":[1,2,3]}`, Record{}},
	} {
		if got := Read([]byte(c.text)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v\nwant %+v", name, got, c.want)
		}
	}
}
