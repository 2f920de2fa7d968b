//! The plugin that the suite drives: wasm/tck/PLUGIN.md says what it does.

use cdcd::{Event, Image, Json, Kind, Level, Plugin, Problem, Value, Verdict};

/// The column of a kind, and its edit, as plugin.yaml has them.
fn column_of(kind: Kind) -> usize {
    kind as usize - 1
}

fn edit_of(kind: Kind) -> usize {
    kind as usize - 2
}

const KINDS: std::ops::RangeFrom<usize> = Kind::Bool as usize..;
const OPTIONAL: usize = Kind::Vector as usize;

struct Tck {
    config: String,
    counter: u64,
    kept: Vec<Vec<u8>>,
}

impl Plugin for Tck {
    fn init(config: Json) -> Result<Self, Problem> {
        assert!(config.member("trap").bool() != Some(true), "the configuration says so");
        match config.member("refuse").string() {
            Some(why) => Err(why),
            None => Ok(Tck { config: config.text().into(), counter: 0, kept: Vec::new() }),
        }
    }

    fn filter(&mut self, e: &mut Event) -> Verdict {
        let mut verdict = Verdict::Drop;
        let mut why = "";
        let mut image = if e.has(Image::After) { Image::After } else { Image::Before };
        for command in e.column(image, 0).text().unwrap_or("").split('\n') {
            let (word, argument) = command.split_once(' ').unwrap_or((command, ""));
            match word {
                "keep" => verdict = Verdict::Keep,
                "drop" => verdict = Verdict::Drop,
                "error" => {
                    verdict = Verdict::Error;
                    why = argument;
                }
                "before" => image = Image::Before,
                "after" => image = Image::After,
                "echo" => copy(e, |v| v),
                "rebuild" => copy(e, rebuilt),
                "null" => e.set_null(image, edit_of(kind_named(argument))),
                "without" => e.drop_column(image, edit_of(kind_named(argument))),
                "text" => e.set(image, edit_of(Kind::String), Value::of_string(argument)),
                "fill" => e.set(image, edit_of(Kind::String), Value::of_string(&"x".repeat(number(argument) as usize))),
                "tag" => e.tag(argument),
                "tags" => (0..number(argument)).for_each(|i| e.tag(&format!("t{i}"))),
                "reason" => e.reason(argument),
                "route" => e.route(argument),
                "describe" => {
                    let text = format!("{} {} {} {} {}", e.op().name(), e.schema(), e.table(), e.no(), e.commit_time());
                    e.reason(&text)
                }
                "kinds" => {
                    let from = if e.has(Image::After) { Image::After } else { Image::Before };
                    let names: Vec<_> = (1..=OPTIONAL).map(|column| e.column(from, column).kind().name()).collect();
                    e.reason(&names.join(","))
                }
                "changed" => {
                    let changed = Kind::ALL[KINDS].iter().filter(|kind| e.changed(column_of(**kind)));
                    let names: Vec<_> = changed.map(|kind| kind.name()).collect();
                    e.reason(if names.is_empty() { "-".into() } else { names.join(",") }.as_str())
                }
                "json" => {
                    let json = e.json().to_string();
                    e.set(image, edit_of(Kind::Json), Value::of_json(&json))
                }
                "config" => e.reason(&self.config),
                "log" => {
                    let (level, line) = argument.split_once(' ').unwrap_or((argument, ""));
                    cdcd::log([Level::Debug, Level::Info, Level::Warn, Level::Error][number(level) as usize], line)
                }
                "logs" => (0..number(argument)).for_each(|i| cdcd::log(Level::Info, &format!("line {i}"))),
                "metric" => {
                    let (metric, delta) = argument.split_once(' ').unwrap_or((argument, ""));
                    cdcd::metric(number(metric) as u32, number(delta))
                }
                "count" => {
                    self.counter += 1;
                    e.reason(&self.counter.to_string())
                }
                "grow" => (0..number(argument)).for_each(|_| self.kept.push(vec![1; 65536])),
                "spin" => {
                    let x = (0..number(argument))
                        .fold(0u64, |x, _| x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
                    e.reason(&x.to_string())
                }
                "trap" => panic!("the change says so"),
                "loop" => loop {},
                "recurse" => e.reason(&recurse(&[0; 8]).to_string()),
                "hoard" => loop {
                    self.kept.push(vec![1; 65536])
                },
                _ => return e.error(&format!("no such command: {word}")),
            }
        }
        match verdict {
            Verdict::Error => e.error(why),
            verdict => verdict,
        }
    }
}

cdcd::plugin!(Tck);

fn number(digits: &str) -> i64 {
    digits.parse().unwrap_or(0)
}

fn kind_named(name: &str) -> Kind {
    *Kind::ALL.iter().find(|kind| kind.name() == name).expect("a kind")
}

fn copy(e: &mut Event, made: fn(Value) -> Value) {
    for image in [Image::Before, Image::After] {
        for kind in &Kind::ALL[KINDS] {
            let v = e.column(image, column_of(*kind));
            match v.kind() {
                Kind::Absent => {}
                Kind::Null => e.set_null(image, edit_of(*kind)),
                _ => e.set(image, edit_of(*kind), made(v)),
            }
        }
    }
}

fn rebuilt(v: Value) -> Value {
    let again = match v.kind() {
        Kind::Absent | Kind::Null => Some(v),
        Kind::Bool => v.bool().map(Value::of_bool),
        Kind::Int64 => v.int().map(Value::of_int),
        Kind::Uint64 => v.uint().map(Value::of_uint),
        Kind::Float64 => v.float().map(Value::of_float),
        Kind::Decimal => v.text().map(Value::of_decimal),
        Kind::String => v.text().map(Value::of_string),
        Kind::Bytes => v.bytes().map(Value::of_bytes),
        Kind::Date => v.civil().map(|c| Value::of_date(c.year, c.month, c.day)),
        Kind::Time => v.micros().map(Value::of_time),
        Kind::Datetime => v.civil().map(Value::of_datetime),
        Kind::Timestamp => v.micros().map(Value::of_timestamp),
        Kind::Json => v.text().map(Value::of_json),
        Kind::Enum => v.text().map(Value::of_enum),
        Kind::Set => v.text().map(Value::of_set),
        Kind::Bit => v.uint().map(Value::of_bit),
        Kind::Geometry => v.bytes().map(Value::of_geometry),
        Kind::Vector => v.bytes().map(Value::of_vector),
    };
    again.expect("a value of its kind")
}

/// The frame of each call is passed on, so that it cannot become a loop.
#[allow(unconditional_recursion)]
fn recurse(before: &[u64; 8]) -> u64 {
    let mut here = *before;
    here[before[7] as usize % 8] += 1;
    recurse(&here) + here[7]
}
