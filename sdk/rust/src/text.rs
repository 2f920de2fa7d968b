use crate::abi;
use core::fmt;
use core::ops::Deref;

/// A text of at most `N` bytes that is its own memory; what does not fit is left out. It is a `str` to whoever reads it.
///
/// ```
/// let mut score: cdcd::Text<32> = "score ".into();
/// score.push_int(-7);
/// assert_eq!(&*score, "score -7");
/// ```
#[derive(Clone)]
pub struct Text<const N: usize = 256> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// An empty text.
    pub const fn new() -> Self {
        Text { bytes: [0; N], len: 0 }
    }

    /// Appends a text, or as many characters of it as there is room for.
    pub fn push(&mut self, text: &str) {
        let mut len = text.len().min(N - self.len);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
    }

    /// Appends a number in decimal digits.
    pub fn push_int(&mut self, number: i64) {
        if number < 0 {
            self.push("-");
        }
        self.push_uint(number.unsigned_abs());
    }

    /// Appends a number in decimal digits.
    pub fn push_uint(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(abi::utf8(&digits[at..]));
    }

    /// Removes all of it.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// What it holds.
    pub fn as_str(&self) -> &str {
        abi::utf8(&self.bytes[..self.len])
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text::new()
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> From<&str> for Text<N> {
    fn from(text: &str) -> Self {
        let mut all = Text::new();
        all.push(text);
        all
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_by_whole_characters() {
        let mut text: Text<4> = "añ".into();
        text.push("é!");
        assert_eq!(text.as_str(), "añ");
        text.push("!!");
        assert_eq!(text.as_str(), "añ!");
        let mut least: Text = Text::new();
        least.push_int(i64::MIN);
        assert_eq!(least.as_str(), "-9223372036854775808");
    }
}
