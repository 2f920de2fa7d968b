use crate::decimal::Decimal;
use crate::text::Text;

/// What a value in JSON is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum JsonKind {
    /// It is not there, or not JSON.
    None,
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A view of a value in a JSON text: of the configuration, of a column of kind json. One that is not there is
/// [`JsonKind::None`], and what is asked of it is not there either, so that questions can be chained:
/// `config.member("limits").member("total").int()`.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a [u8]);

impl<'a> Json<'a> {
    /// The value that a text holds.
    pub fn parse(text: &'a str) -> Json<'a> {
        Json::new(text.as_bytes())
    }

    pub(crate) fn new(text: &'a [u8]) -> Json<'a> {
        let text = skip_space(text);
        Json(&text[..value_len(text)])
    }

    /// What it is.
    pub fn kind(&self) -> JsonKind {
        match self.0.first() {
            Some(b'n') => JsonKind::Null,
            Some(b't' | b'f') => JsonKind::Bool,
            Some(b'-' | b'0'..=b'9') => JsonKind::Number,
            Some(b'"') => JsonKind::String,
            Some(b'[') => JsonKind::Array,
            Some(b'{') => JsonKind::Object,
            _ => JsonKind::None,
        }
    }

    /// It as it is written.
    pub fn text(&self) -> &'a str {
        core::str::from_utf8(self.0).unwrap_or("")
    }

    /// A member of an object.
    pub fn member(&self, name: &str) -> Json<'a> {
        let mut rest = match self.0.split_first() {
            Some((b'{', rest)) => skip_space(rest),
            _ => return Json(&[]),
        };
        while rest.first() == Some(&b'"') {
            let (key, behind) = rest.split_at(string_len(rest));
            rest = match skip_space(behind).split_first() {
                Some((b':', rest)) => skip_space(rest),
                _ => break,
            };
            let (value, behind) = rest.split_at(value_len(rest));
            if is(key, name) {
                return Json(value);
            }
            rest = skip_comma(behind);
        }
        Json(&[])
    }

    /// An element of an array, from 0.
    pub fn element(&self, index: usize) -> Json<'a> {
        let mut rest = match self.0.split_first() {
            Some((b'[', rest)) => skip_space(rest),
            _ => return Json(&[]),
        };
        for i in 0.. {
            let (value, behind) = rest.split_at(value_len(rest));
            if i == index || value.is_empty() {
                return Json(value);
            }
            rest = skip_comma(behind);
        }
        Json(&[])
    }

    /// A bool.
    pub fn bool(&self) -> Option<bool> {
        match self.kind() {
            JsonKind::Bool => Some(self.0[0] == b't'),
            _ => None,
        }
    }

    /// A number that is an integer and fits.
    pub fn int(&self) -> Option<i64> {
        match self.kind() {
            JsonKind::Number => self.text().parse().ok(),
            _ => None,
        }
    }

    /// A number, as its digits.
    pub fn number(&self) -> Option<Decimal<'a>> {
        match self.kind() {
            JsonKind::Number => Some(Decimal::of(self.0)),
            _ => None,
        }
    }

    /// A number as a float.
    pub fn float(&self) -> Option<f64> {
        self.number().map(|n| n.float())
    }

    /// A string; what does not fit is left out.
    pub fn string<const N: usize>(&self) -> Option<Text<N>> {
        if self.kind() != JsonKind::String {
            return None;
        }
        let mut text = Text::new();
        Characters::of(self.0).for_each(|c| text.push(c.encode_utf8(&mut [0; 4])));
        Some(text)
    }

    /// Whether it is a string, and this one.
    pub fn is(&self, text: &str) -> bool {
        self.kind() == JsonKind::String && is(self.0, text)
    }
}

fn skip_space(text: &[u8]) -> &[u8] {
    let space = text.iter().take_while(|c| matches!(c, b' ' | b'\n' | b'\t' | b'\r')).count();
    &text[space..]
}

fn skip_comma(text: &[u8]) -> &[u8] {
    match skip_space(text).split_first() {
        Some((b',', rest)) => skip_space(rest),
        _ => &[],
    }
}

/// The length of the string at the beginning, with its quotes.
fn string_len(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of the value at the beginning, however deep it is.
fn value_len(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0usize);
    while at < text.len() {
        match text[at] {
            b'"' => at += string_len(&text[at..]),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                if depth == 0 {
                    return at;
                }
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\n' | b'\t' | b'\r' => {
                if depth == 0 {
                    return at;
                }
                at += 1;
                continue;
            }
            _ => {
                while at < text.len() && !matches!(text[at], b',' | b':' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r') {
                    at += 1;
                }
            }
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn is(string: &[u8], text: &str) -> bool {
    Characters::of(string).eq(text.chars())
}

/// The characters of a string as it is written, with its quotes.
struct Characters<'a> {
    rest: &'a str,
}

impl<'a> Characters<'a> {
    fn of(string: &'a [u8]) -> Characters<'a> {
        let end = if string.len() > 1 && string.last() == Some(&b'"') { string.len() - 1 } else { string.len() };
        Characters { rest: core::str::from_utf8(&string[1..end]).unwrap_or("") }
    }

    fn next_plain(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let c = characters.next();
        self.rest = characters.as_str();
        c
    }

    fn hex4(&mut self) -> u32 {
        (0..4).fold(0, |n, _| n << 4 | self.next_plain().and_then(|c| c.to_digit(16)).unwrap_or(0))
    }
}

impl Iterator for Characters<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self.next_plain()? {
            '\\' => {}
            c => return Some(c),
        }
        let n = match self.next_plain()? {
            'b' => return Some('\u{8}'),
            'f' => return Some('\u{c}'),
            'n' => return Some('\n'),
            'r' => return Some('\r'),
            't' => return Some('\t'),
            'u' => self.hex4(),
            c => return Some(c),
        };
        if let 0xd800..=0xdbff = n {
            let behind = self.rest;
            if let Some(rest) = behind.strip_prefix("\\u") {
                self.rest = rest;
                let low = self.hex4();
                if let 0xdc00..=0xdfff = low {
                    return char::from_u32(0x10000 + ((n - 0xd800) << 10) + (low - 0xdc00));
                }
                self.rest = behind;
            }
        }
        Some(char::from_u32(n).unwrap_or('\u{fffd}'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_found() {
        let config = Json::parse(
            r#" { "a" : [1, {"x": "}]\"" }, -2.50e1, null ], "b\u00e9" : true, "s": "n\u00f6 \ud83d\ude00 \ud800x \"q\"\\", "last":-9223372036854775808} "#,
        );
        assert_eq!(config.member("a").element(0).int(), Some(1));
        assert_eq!(config.member("a").element(1).member("x").text(), r#""}]\"""#);
        assert_eq!(config.member("a").element(2).number(), Some(Decimal::new("-25")));
        assert_eq!(config.member("a").element(2).int(), None);
        assert_eq!(config.member("a").element(3).kind(), JsonKind::Null);
        assert_eq!(config.member("a").element(4).kind(), JsonKind::None);
        assert_eq!(config.member("bé").bool(), Some(true));
        assert_eq!(config.member("s").string::<64>().unwrap().as_str(), "nö 😀 \u{fffd}x \"q\"\\");
        assert!(config.member("s").is("nö 😀 \u{fffd}x \"q\"\\"));
        assert_eq!(config.member("last").int(), Some(i64::MIN));
        assert_eq!(config.member("x").member("y").element(1).kind(), JsonKind::None);
    }

    #[test]
    fn what_is_no_json_is_borne() {
        for text in
            ["", " ", "{", "[", "\"", "{\"a", "{\"a\"", "{\"a\":", "[1,", "]", ",", "\"\\", "\"\\u12", "{\"a\":]", "[}", "{,}"]
        {
            let json = Json::parse(text);
            json.member("a").kind();
            json.element(3).kind();
            json.string::<8>();
            json.int();
        }
    }
}
