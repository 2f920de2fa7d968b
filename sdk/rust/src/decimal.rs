use core::cmp::Ordering;

/// A number in decimal digits, compared exactly, however long it is: `1.50` equals `1.5`. It takes what decimals and JSON's numbers
/// look like: `-12.50`, `1000`, `1e6`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<'a>(&'a [u8]);

impl<'a> Decimal<'a> {
    /// A number of its digits. What is no number is 0.
    pub const fn new(digits: &'a str) -> Self {
        Decimal(digits.as_bytes())
    }

    pub(crate) const fn of(digits: &'a [u8]) -> Self {
        Decimal(digits)
    }

    /// The float that is nearest to it.
    pub fn float(&self) -> f64 {
        self.as_str().parse().unwrap_or(0.0)
    }

    /// Its digits as they were written.
    pub fn as_str(&self) -> &'a str {
        core::str::from_utf8(self.0).unwrap_or("")
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (Digits::read(self.0), Digits::read(other.0));
        if a.sign != b.sign || a.sign == 0 {
            return a.sign.cmp(&b.sign);
        }
        let mut absolute = a.magnitude.cmp(&b.magnitude);
        while absolute == Ordering::Equal && !(a.rest.is_empty() && b.rest.is_empty()) {
            absolute = a.next().cmp(&b.next());
        }
        if a.sign < 0 {
            absolute.reverse()
        } else {
            absolute
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

/// 0.d1d2d3… × 10^magnitude, with d1 not zero.
struct Digits<'a> {
    rest: &'a [u8], // from d1 on; a point may be among them
    magnitude: i64,
    sign: i8, // 0: it is zero
}

impl<'a> Digits<'a> {
    fn read(mut text: &'a [u8]) -> Digits<'a> {
        let mut sign = 1;
        if let Some((b'-' | b'+', rest)) = text.split_first() {
            sign = if text[0] == b'-' { -1 } else { 1 };
            text = rest;
        }
        let (mut magnitude, mut point, mut first, mut end) = (0, false, None, 0);
        for (i, c) in text.iter().enumerate() {
            match c {
                b'.' => point = true,
                b'0'..=b'9' => {
                    if first.is_none() && *c != b'0' {
                        first = Some(i);
                    }
                    match (first, point) {
                        (Some(_), false) => magnitude += 1,
                        (None, true) => magnitude -= 1,
                        _ => {}
                    }
                }
                _ => break,
            }
            end = i + 1;
        }
        let (digits, rest) = text.split_at(end);
        match first {
            None => Digits { rest: &[], magnitude: 0, sign: 0 },
            Some(first) => Digits { rest: &digits[first..], magnitude: magnitude + exponent(rest), sign },
        }
    }

    fn next(&mut self) -> u8 {
        if let Some((b'.', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        match self.rest.split_first() {
            Some((digit, rest)) => {
                self.rest = rest;
                *digit
            }
            None => b'0',
        }
    }
}

/// What an exponent adds, if the text is one.
fn exponent(text: &[u8]) -> i64 {
    let digits = match text {
        [b'e' | b'E', b'-' | b'+', digits @ ..] => digits,
        [b'e' | b'E', digits @ ..] => digits,
        _ => return 0,
    };
    let mut n: i64 = 0;
    for c in digits {
        if !c.is_ascii_digit() {
            break;
        }
        if n < i64::MAX / 100 {
            n = n * 10 + (c - b'0') as i64;
        }
    }
    if text[1] == b'-' {
        -n
    } else {
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_ordered_by_what_they_are() {
        let ascending = [
            "-1e3",
            "-999.99",
            "-12.50",
            "-0.001",
            "0",
            "0.0009",
            "1e-3",
            "0.5",
            "1",
            "1.05",
            "1.5",
            "9.99",
            "10",
            "123456789012345678901234567890.1",
            "1e300",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(Decimal::new(a).cmp(&Decimal::new(b)), i.cmp(&j), "{} and {}", a, b);
            }
        }
        for (a, b) in [
            ("1.50", "1.5"),
            ("-0", "0.00"),
            ("1000", "1e3"),
            ("0012", "12.0"),
            ("10E-1", "1"),
            ("+7", "7"),
            ("", "0"),
            (".5", "0.5"),
        ] {
            assert_eq!(Decimal::new(a), Decimal::new(b), "{} and {}", a, b);
        }
    }
}
