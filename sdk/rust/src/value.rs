use crate::abi::Part;
use crate::decimal::Decimal;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The column is not in the image, which is not NULL.
    Absent = 0,
    /// SQL NULL.
    Null = 1,
    /// A bool.
    Bool = 2,
    /// All signed integers, YEAR.
    Int64 = 3,
    /// All unsigned integers.
    Uint64 = 4,
    /// FLOAT and DOUBLE.
    Float64 = 5,
    /// Text: exact digits, `-12.50`.
    Decimal = 6,
    /// Text.
    String = 7,
    /// Bytes.
    Bytes = 8,
    /// Civil, without a time of day.
    Date = 9,
    /// Microseconds, also negative and beyond 24 hours.
    Time = 10,
    /// Civil, no time zone.
    Datetime = 11,
    /// Microseconds since 1970 UTC; 0 is the zero date.
    Timestamp = 12,
    /// Text: JSON with all digits of its numbers.
    Json = 13,
    /// Text: the member.
    Enum = 14,
    /// Text: the members with commas in between.
    Set = 15,
    /// Up to 64 bits.
    Bit = 16,
    /// Bytes: SRID in 4, little endian, then WKB.
    Geometry = 17,
    /// Bytes: float32 each, little endian.
    Vector = 18,
}

impl Kind {
    /// All kinds; the place is the number.
    pub const ALL: [Kind; 19] = [
        Kind::Absent,
        Kind::Null,
        Kind::Bool,
        Kind::Int64,
        Kind::Uint64,
        Kind::Float64,
        Kind::Decimal,
        Kind::String,
        Kind::Bytes,
        Kind::Date,
        Kind::Time,
        Kind::Datetime,
        Kind::Timestamp,
        Kind::Json,
        Kind::Enum,
        Kind::Set,
        Kind::Bit,
        Kind::Geometry,
        Kind::Vector,
    ];

    /// The name, as in plugin.yaml: `int64`.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 19] = [
            "absent",
            "null",
            "bool",
            "int64",
            "uint64",
            "float64",
            "decimal",
            "string",
            "bytes",
            "date",
            "time",
            "datetime",
            "timestamp",
            "json",
            "enum",
            "set",
            "bit",
            "geometry",
            "vector",
        ];
        NAMES[self as usize]
    }

    /// Whether values of the kind are text or bytes.
    #[inline]
    pub fn is_text(self) -> bool {
        const TEXTS: u32 = 1 << Kind::Decimal as u32
            | 1 << Kind::String as u32
            | 1 << Kind::Bytes as u32
            | 1 << Kind::Json as u32
            | 1 << Kind::Enum as u32
            | 1 << Kind::Set as u32
            | 1 << Kind::Geometry as u32
            | 1 << Kind::Vector as u32;
        TEXTS >> self as u32 & 1 != 0
    }
}

/// A date and time of day as the server keeps it: parts may be zero, and days may not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Civil {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micro: u32,
}

/// One column of a row. Its text and bytes are those of the batch. It compares with texts: `event.after(STATUS) == "paid"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    kind: Kind,
    pub(crate) bits: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// The column is not in the image.
    pub const ABSENT: Value<'static> = Value { kind: Kind::Absent, bits: 0, bytes: &[] };

    /// SQL NULL.
    pub const NULL: Value<'static> = Value { kind: Kind::Null, bits: 0, bytes: &[] };

    #[inline]
    pub(crate) fn read(image: Part<'a>, column: usize) -> Value<'a> {
        let columns = image.u16(4) as u32;
        if column >= columns as usize {
            return Value::ABSENT;
        }
        let column = column as u32;
        let kind = match Kind::ALL.get(image.u8(8 + column) as usize) {
            Some(kind) => *kind,
            None => Kind::Absent,
        };
        let slot = image.u64(8 + (columns + 7) / 8 * 8 + 8 * column);
        if kind.is_text() {
            Value { kind, bits: 0, bytes: image.bytes(slot as u32, (slot >> 32) as u32) }
        } else {
            Value { kind, bits: slot, bytes: &[] }
        }
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is SQL NULL.
    #[inline]
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// Whether the column is not in the image.
    #[inline]
    pub fn is_absent(&self) -> bool {
        self.kind == Kind::Absent
    }

    /// A bool.
    pub fn bool(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool => Some(self.bits != 0),
            _ => None,
        }
    }

    /// An int64, or a uint64 or bits that fit.
    pub fn int(&self) -> Option<i64> {
        match self.kind {
            Kind::Int64 => Some(self.bits as i64),
            Kind::Uint64 | Kind::Bit if self.bits <= i64::MAX as u64 => Some(self.bits as i64),
            _ => None,
        }
    }

    /// A uint64 or bits, or an int64 that is not negative.
    pub fn uint(&self) -> Option<u64> {
        match self.kind {
            Kind::Uint64 | Kind::Bit => Some(self.bits),
            Kind::Int64 if self.bits <= i64::MAX as u64 => Some(self.bits),
            _ => None,
        }
    }

    /// A float64, or an integer as one.
    pub fn float(&self) -> Option<f64> {
        match self.kind {
            Kind::Float64 => Some(f64::from_bits(self.bits)),
            Kind::Int64 => Some(self.bits as i64 as f64),
            Kind::Uint64 => Some(self.bits as f64),
            _ => None,
        }
    }

    /// A decimal, which compares exactly.
    pub fn decimal(&self) -> Option<Decimal<'a>> {
        match self.kind {
            Kind::Decimal => Some(Decimal::of(self.bytes)),
            _ => None,
        }
    }

    /// The text of decimal, string, json, enum and set, if it is UTF-8, which is looked at: comparing with `==`, and asking for
    /// [`Value::len`] or [`Value::bytes`], costs less.
    pub fn text(&self) -> Option<&'a str> {
        match self.kind {
            Kind::Decimal | Kind::String | Kind::Json | Kind::Enum | Kind::Set => core::str::from_utf8(self.bytes).ok(),
            _ => None,
        }
    }

    /// The bytes of all kinds that are text or bytes.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        if self.kind.is_text() {
            Some(self.bytes)
        } else {
            None
        }
    }

    /// The number of bytes, of all kinds that are text or bytes; 0 of others.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no text and no byte in it: it is empty, null, absent, or of another kind.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The parts of a date or datetime.
    pub fn civil(&self) -> Option<Civil> {
        let n = self.bits;
        match self.kind {
            Kind::Date | Kind::Datetime => Some(Civil {
                year: (n >> 46) as u16,
                month: (n >> 42 & 15) as u8,
                day: (n >> 37 & 31) as u8,
                hour: (n >> 32 & 31) as u8,
                minute: (n >> 26 & 63) as u8,
                second: (n >> 20 & 63) as u8,
                micro: (n & ((1 << 20) - 1)) as u32,
            }),
            _ => None,
        }
    }

    /// The microseconds of a time, or of a timestamp since 1970 UTC.
    pub fn micros(&self) -> Option<i64> {
        match self.kind {
            Kind::Time | Kind::Timestamp => Some(self.bits as i64),
            _ => None,
        }
    }

    const fn numeric(kind: Kind, bits: u64) -> Value<'a> {
        Value { kind, bits, bytes: &[] }
    }

    const fn textual(kind: Kind, bytes: &'a [u8]) -> Value<'a> {
        Value { kind, bits: 0, bytes }
    }

    /// A value of kind bool.
    pub const fn of_bool(b: bool) -> Self {
        Value::numeric(Kind::Bool, b as u64)
    }

    /// A value of kind int64.
    pub const fn of_int(n: i64) -> Self {
        Value::numeric(Kind::Int64, n as u64)
    }

    /// A value of kind uint64.
    pub const fn of_uint(n: u64) -> Self {
        Value::numeric(Kind::Uint64, n)
    }

    /// A value of kind float64.
    pub fn of_float(number: f64) -> Self {
        Value::numeric(Kind::Float64, number.to_bits())
    }

    /// A value of kind decimal: digits, with a sign and a fraction or without.
    pub const fn of_decimal(digits: &'a str) -> Self {
        Value::textual(Kind::Decimal, digits.as_bytes())
    }

    /// A value of kind string.
    pub const fn of_string(text: &'a str) -> Self {
        Value::textual(Kind::String, text.as_bytes())
    }

    /// A value of kind bytes.
    pub const fn of_bytes(bytes: &'a [u8]) -> Self {
        Value::textual(Kind::Bytes, bytes)
    }

    /// A value of kind date.
    pub const fn of_date(year: u16, month: u8, day: u8) -> Self {
        let date = Civil { year, month, day, hour: 0, minute: 0, second: 0, micro: 0 };
        Value::numeric(Kind::Date, date.pack())
    }

    /// A value of kind datetime.
    pub const fn of_datetime(at: Civil) -> Self {
        Value::numeric(Kind::Datetime, at.pack())
    }

    /// A value of kind time.
    pub const fn of_time(micros: i64) -> Self {
        Value::numeric(Kind::Time, micros as u64)
    }

    /// A value of kind timestamp: microseconds since 1970 UTC.
    pub const fn of_timestamp(micros: i64) -> Self {
        Value::numeric(Kind::Timestamp, micros as u64)
    }

    /// A value of kind json.
    pub const fn of_json(json: &'a str) -> Self {
        Value::textual(Kind::Json, json.as_bytes())
    }

    /// A value of kind enum.
    pub const fn of_enum(member: &'a str) -> Self {
        Value::textual(Kind::Enum, member.as_bytes())
    }

    /// A value of kind set: members with commas in between.
    pub const fn of_set(members: &'a str) -> Self {
        Value::textual(Kind::Set, members.as_bytes())
    }

    /// A value of kind bit.
    pub const fn of_bit(bits: u64) -> Self {
        Value::numeric(Kind::Bit, bits)
    }

    /// A value of kind geometry.
    pub const fn of_geometry(bytes: &'a [u8]) -> Self {
        Value::textual(Kind::Geometry, bytes)
    }

    /// A value of kind vector.
    pub const fn of_vector(bytes: &'a [u8]) -> Self {
        Value::textual(Kind::Vector, bytes)
    }
}

impl Civil {
    const fn pack(self) -> u64 {
        (self.year as u64) << 46
            | (self.month as u64) << 42
            | (self.day as u64) << 37
            | (self.hour as u64) << 32
            | (self.minute as u64) << 26
            | (self.second as u64) << 20
            | self.micro as u64
    }
}

impl PartialEq<str> for Value<'_> {
    #[inline]
    fn eq(&self, text: &str) -> bool {
        self.kind.is_text() && self.bytes == text.as_bytes()
    }
}

impl PartialEq<&str> for Value<'_> {
    #[inline]
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}
