package form

import (
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// schema returns the schema of records of a table, as Kafka Connect's JSON converter writes it.
func (z *debezium) schema(t *cdc.Table, columns []cdc.Column, source string) string {
	at := schemaKey{table: t, source: source + "/" + z.connector()}
	if len(columns) > 0 && &columns[0] != &t.Columns[0] {
		z.key = z.key[:0]
		for i := range columns {
			z.key = append(z.key, byte(columns[i].Kind))
		}
		at.kinds = string(z.key)
	}
	if s, ok := z.schemas[at]; ok {
		return s
	}
	if len(z.schemas) > 1000 {
		clear(z.schemas)
	}
	name := schemaName(source) + "." + schemaName(t.Schema) + "." + schemaName(t.Name)
	dst := []byte(`{"type":"struct","fields":[`)
	for _, image := range []string{"before", "after"} {
		dst = append(dst, `{"type":"struct","fields":[`...)
		for i := range columns {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = z.appendField(dst, t.Columns[i].Name, &columns[i])
		}
		dst = append(dst, `],"optional":true,"name":`...)
		dst = cdc.AppendString(dst, name+".Value")
		dst = append(dst, `,"field":"`+image+`"},`...)
	}
	dst = append(dst, `{"type":"struct","fields":[`...)
	for i, f := range [...]struct{ name, typ string }{{"version", "string"}, {"connector", "string"}, {"name", "string"}, {"ts_ms", "int64"},
		{"ts_us", "int64?"}, {"ts_ns", "int64?"}, {"snapshot", ""}, {"db", "string"}, {"sequence", "string?"}, {"table", "string?"}, {"server_id", "int64"},
		{"gtid", "string?"}, {"file", "string"}, {"pos", "int64"}, {"row", "int32"}, {"thread", "int64?"}, {"query", "string?"}} {
		if i > 0 {
			dst = append(dst, ',')
		}
		if f.name == "snapshot" {
			dst = append(dst, `{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,`+
				`"parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"default":"false","field":"snapshot"}`...)
			continue
		}
		dst = appendPlainField(dst, f.name, f.typ)
	}
	dst = append(dst, `],"optional":false,"name":"io.debezium.connector.`+z.connector()+`.Source","field":"source"},`...)
	dst = append(dst, `{"type":"struct","fields":[`...)
	dst = append(appendPlainField(dst, "id", "string"), ',')
	dst = append(appendPlainField(dst, "total_order", "int64"), ',')
	dst = appendPlainField(dst, "data_collection_order", "int64")
	dst = append(dst, `],"optional":true,"name":"event.block","version":1,"field":"transaction"},`...)
	dst = append(appendPlainField(dst, "op", "string"), ',')
	dst = append(appendPlainField(dst, "ts_ms", "int64?"), ',')
	dst = append(appendPlainField(dst, "ts_us", "int64?"), ',')
	dst = appendPlainField(dst, "ts_ns", "int64?")
	dst = append(dst, `],"optional":false,"name":`...)
	dst = cdc.AppendString(dst, name+".Envelope")
	dst = append(dst, `,"version":2}`...)
	z.schemas[at] = string(dst)
	return z.schemas[at]
}

// schemaName makes a part of a name in which Avro allows letters, digits and underscores only.
func schemaName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, s)
	return s
}

// appendPlainField appends a field; a type with a question mark is optional.
func appendPlainField(dst []byte, name, typ string) []byte {
	word, optional := strings.CutSuffix(typ, "?")
	dst = append(dst, `{"type":"`+word+`","optional":`...)
	dst = strconv.AppendBool(dst, optional)
	return append(dst, `,"field":"`+name+`"}`...)
}

// appendField appends the schema of a column: its literal type, and what that means.
func (z *debezium) appendField(dst []byte, name string, c *cdc.Column) []byte {
	typ, semantic, parameters := z.fieldType(c)
	dst = append(dst, '{')
	switch typ {
	case "geometry":
		dst = append(dst, `"type":"struct","fields":[{"type":"bytes","optional":false,"field":"wkb"},{"type":"int32","optional":true,"field":"srid"}]`...)
	case "vector":
		dst = append(dst, `"type":"array","items":{"type":"float","optional":false}`...)
	default:
		dst = append(dst, `"type":"`+typ+`"`...)
	}
	dst = append(dst, `,"optional":`...)
	dst = strconv.AppendBool(dst, c.Nullable)
	if semantic != "" {
		dst = append(dst, `,"name":"`+semantic+`","version":1`...)
	}
	if parameters != "" {
		dst = append(append(append(dst, `,"parameters":{`...), parameters...), '}')
	}
	dst = append(dst, `,"field":`...)
	return append(cdc.AppendString(dst, name), '}')
}

func (z *debezium) fieldType(c *cdc.Column) (typ, semantic, parameters string) {
	switch c.Kind {
	case cdc.KindBool:
		return "boolean", "", ""
	case cdc.KindInt64, cdc.KindUint64:
		return z.integerType(c)
	case cdc.KindFloat64:
		if c.Float32 {
			return "float", "", ""
		}
		return "double", "", ""
	case cdc.KindDecimal:
		switch z.o.Decimal {
		case "precise":
			return "bytes", "org.apache.kafka.connect.data.Decimal",
				`"scale":"` + strconv.Itoa(int(c.Scale)) + `","connect.decimal.precision":"` + strconv.Itoa(int(c.Precision)) + `"`
		case "double":
			return "double", "", ""
		}
	case cdc.KindBytes:
		if z.o.Binary == "bytes" {
			return "bytes", "", ""
		}
	case cdc.KindBit:
		if c.Precision == 1 {
			return "boolean", "", ""
		}
		return "bytes", "io.debezium.data.Bits", `"length":"` + strconv.Itoa(int(c.Precision)) + `"`
	case cdc.KindEnum, cdc.KindSet:
		allowed := string(cdc.AppendString(nil, strings.Join(c.Members, ",")))
		if c.Kind == cdc.KindSet {
			return "string", "io.debezium.data.EnumSet", `"allowed":` + allowed
		}
		return "string", "io.debezium.data.Enum", `"allowed":` + allowed
	case cdc.KindJSON:
		return "string", "io.debezium.data.Json", ""
	case cdc.KindTimestamp:
		return "string", "io.debezium.time.ZonedTimestamp", ""
	case cdc.KindDate, cdc.KindDatetime, cdc.KindTime:
		typ, semantic = z.temporalType(c)
		return typ, semantic, ""
	case cdc.KindGeometry:
		return "geometry", "io.debezium.data.geometry.Geometry", ""
	case cdc.KindVector:
		return "vector", "io.debezium.data.FloatVector", ""
	}
	return "string", "", ""
}

func (z *debezium) integerType(c *cdc.Column) (typ, semantic, parameters string) {
	switch sqlWord(c) {
	case "year":
		return "int32", "io.debezium.time.Year", ""
	case "tinyint", "bool", "boolean":
		return "int16", "", ""
	case "smallint":
		if !c.Unsigned {
			return "int16", "", ""
		}
		return "int32", "", ""
	case "mediumint":
		return "int32", "", ""
	case "int", "integer":
		if !c.Unsigned {
			return "int32", "", ""
		}
		return "int64", "", ""
	}
	if c.Kind == cdc.KindUint64 && z.o.BigintUnsigned == "precise" {
		return "bytes", "org.apache.kafka.connect.data.Decimal", `"scale":"0"`
	}
	return "int64", "", ""
}

func (z *debezium) temporalType(c *cdc.Column) (typ, semantic string) {
	const kafka, own = "org.apache.kafka.connect.data.", "io.debezium.time."
	switch {
	case z.o.Time == "isostring":
		return "string", own + map[cdc.Kind]string{cdc.KindDate: "IsoDate", cdc.KindTime: "IsoTime", cdc.KindDatetime: "IsoTimestamp"}[c.Kind]
	case z.o.Time == "connect" && c.Kind == cdc.KindDate:
		return "int32", kafka + "Date"
	case z.o.Time == "connect" && c.Kind == cdc.KindTime:
		return "int32", kafka + "Time"
	case z.o.Time == "connect":
		return "int64", kafka + "Timestamp"
	case c.Kind == cdc.KindDate:
		return "int32", own + "Date"
	case c.Kind == cdc.KindTime && z.o.Time == "nanoseconds":
		return "int64", own + "NanoTime"
	case c.Kind == cdc.KindTime:
		return "int64", own + "MicroTime"
	case z.o.Time == "nanoseconds":
		return "int64", own + "NanoTimestamp"
	case z.o.Time == "microseconds" || c.Fsp > 3:
		return "int64", own + "MicroTimestamp"
	}
	return "int64", own + "Timestamp"
}
