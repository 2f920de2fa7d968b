//! Asks what the crate has for texts: `what` of `a` and `b`, and answers in `b`.

#![no_std]

use cdcd::{Decimal, Event, Image, Json, JsonKind, Text, Value, Verdict};
use core::fmt::Write;

fn filter(event: &mut Event) -> Verdict {
    let (a, b) = (event.after(1).text().unwrap_or(""), event.after(2).text().unwrap_or(""));
    let mut out: Text<1000> = Text::new();
    let _ = if event.after(0) == "compare" {
        write!(out, "{}", Decimal::new(a).cmp(&Decimal::new(b)) as i8)
    } else if event.after(0) == "float" {
        write!(out, "{}", Json::parse(a).float().unwrap_or(7.0).to_bits())
    } else {
        answer(&mut out, Json::parse(a), b)
    };
    event.set(Image::After, 0, Value::of_string(&out));
    Verdict::Keep
}

/// A JSON value as it is read, at the end of a path of .name and digits.
fn answer(out: &mut Text<1000>, mut v: Json, path: &str) -> core::fmt::Result {
    for step in path.split('/').filter(|step| !step.is_empty()) {
        v = match step.strip_prefix('.') {
            Some(name) => v.member(name),
            None => v.element((step.as_bytes()[0] - b'0') as usize),
        };
    }
    match v.kind() {
        JsonKind::None => write!(out, "none"),
        JsonKind::Null => write!(out, "null"),
        JsonKind::Bool => write!(out, "{}", v.bool().unwrap()),
        JsonKind::Number => match v.int().unwrap_or(7) {
            7 => write!(out, "{}", v.number().unwrap().as_str()),
            n => write!(out, "{} int {}", v.number().unwrap().as_str(), n),
        },
        JsonKind::String => {
            let text = v.string::<1000>().unwrap();
            assert!(v.is(&text) || text.len() > 990);
            write!(out, "string {}", text)
        }
        JsonKind::Array => write!(out, "array {}", v.text()),
        JsonKind::Object => write!(out, "object {}", v.text()),
    }
}

cdcd::filter!(filter);
