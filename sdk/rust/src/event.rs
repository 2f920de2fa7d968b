use crate::abi::{Log, Part};
use crate::value::{Kind, Value};
use crate::Verdict;

/// What happened to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The row came. There is no image before.
    Insert,
    /// The row changed.
    Update,
    /// The row went. There is no image after.
    Delete,
    /// The row was read from the table, not from the log. There is no image before.
    Snapshot,
}

impl Op {
    /// The name, as in rules: `insert`.
    pub fn name(self) -> &'static str {
        match self {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Snapshot => "snapshot",
        }
    }
}

/// The two images of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// As it was.
    Before = 1,
    /// As it became.
    After = 2,
}

/// A change that is being judged. Columns and edits are named by their places in `columns` and `edits` of plugin.yaml.
pub struct Event<'a> {
    frame: Part<'a>,
    entry: Part<'a>,
    before: Option<Part<'a>>,
    after: Option<Part<'a>>,
    index: u32,
    begin: usize, // of its edits in the log
    failed: bool,
    log: &'a mut Log,
}

const SET: u32 = 1;
const NULL: u32 = 2;
const DROP: u32 = 3;
const TAG: u32 = 4;
const REASON: u32 = 5;
const ROUTE: u32 = 6;
const ERROR: u32 = 7;

impl<'a> Event<'a> {
    #[inline]
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
    pub(crate) fn new(frame: Part<'a>, entry: Part<'a>, index: u32, log: &'a mut Log) -> Event<'a> {
        let image = |at: u32| if at == 0 { None } else { Some(frame.part(at)) };
        let (before, after) = (image(entry.u32(20)), image(entry.u32(24)));
        let begin = log.len();
        Event { frame, entry, before, after, index, begin, failed: false, log }
    }

    #[inline]
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// What happened.
    #[inline]
    pub fn op(&self) -> Op {
        match self.entry.u8(18) {
            1 => Op::Insert,
            2 => Op::Update,
            3 => Op::Delete,
            _ => Op::Snapshot,
        }
    }

    fn table_entry(&self) -> Part<'a> {
        let table = self.frame.u32(64) + 4 * self.entry.u16(16) as u32;
        self.frame.part(self.frame.u32(table))
    }

    /// The database of the table.
    pub fn schema(&self) -> &'a str {
        self.table_entry().text(8)
    }

    /// The name of the table.
    pub fn table(&self) -> &'a str {
        self.table_entry().text(16)
    }

    /// The number of the change among all that were captured.
    pub fn no(&self) -> u64 {
        self.entry.u64(0)
    }

    /// When its transaction committed, in microseconds since 1970 UTC; 0 when that is not known.
    pub fn commit_time(&self) -> i64 {
        self.frame.u64(self.frame.u32(56) + 64 * self.entry.u32(8) + 32) as i64
    }

    /// Whether the change is so large that the source has left out values: they are absent.
    pub fn is_incomplete(&self) -> bool {
        self.entry.u8(19) & 1 != 0
    }

    #[inline]
    fn image(&self, image: Image) -> Option<Part<'a>> {
        match image {
            Image::Before => self.before,
            Image::After => self.after,
        }
    }

    /// Whether the change has the image.
    #[inline]
    pub fn has(&self, image: Image) -> bool {
        self.image(image).is_some()
    }

    /// A column of an image; absent where there is no such image. An image that `images` does not ask for is all absent.
    #[inline]
    pub fn column(&self, image: Image, column: usize) -> Value<'a> {
        match self.image(image) {
            Some(part) => Value::read(part, column),
            None => Value::ABSENT,
        }
    }

    /// A column as it was.
    #[inline]
    pub fn before(&self, column: usize) -> Value<'a> {
        self.column(Image::Before, column)
    }

    /// A column as it became.
    #[inline]
    pub fn after(&self, column: usize) -> Value<'a> {
        self.column(Image::After, column)
    }

    /// Whether the column differs between before and after; where there is only one of them, every column has changed, as in
    /// rules. The manifest must ask for both images.
    pub fn changed(&self, column: usize) -> bool {
        match (self.before, self.after) {
            (Some(before), Some(after)) => Value::read(before, column) != Value::read(after, column),
            _ => true,
        }
    }

    /// The change as JSON, with the declared columns. It costs what JSON costs.
    pub fn json(&mut self) -> &str {
        core::str::from_utf8(self.log.json(self.index)).unwrap_or("")
    }

    fn edit(&mut self, what: u32, kind: Kind, value: u64, text: &[u8]) {
        if !self.failed {
            self.log.append(self.index, what, kind as u8, value, text);
        }
    }

    /// Gives a column another value, of the column's kind. Null is a value; one that is absent changes nothing.
    pub fn set(&mut self, image: Image, edit: usize, value: Value) {
        let at = (image as u32) << 8 | (edit as u32) << 16;
        match value.kind() {
            Kind::Absent => {}
            Kind::Null => self.edit(NULL | at, Kind::Absent, 0, &[]),
            kind if kind.is_text() => self.edit(SET | at, kind, value.bytes.len() as u64, value.bytes),
            kind => self.edit(SET | at, kind, value.bits, &[]),
        }
    }

    /// Makes a column NULL.
    pub fn set_null(&mut self, image: Image, edit: usize) {
        self.set(image, edit, Value::NULL)
    }

    /// Leaves a column out.
    pub fn drop_column(&mut self, image: Image, edit: usize) {
        self.edit(DROP | (image as u32) << 8 | (edit as u32) << 16, Kind::Absent, 0, &[])
    }

    /// Adds a tag to what is delivered, of 1 to 256 bytes; there are at most 16.
    pub fn tag(&mut self, tag: &str) {
        self.edit(TAG, Kind::Absent, tag.len() as u64, tag.as_bytes())
    }

    /// Says why the change is delivered, in 1 to 256 bytes; the last one counts.
    pub fn reason(&mut self, reason: &str) {
        self.edit(REASON, Kind::Absent, reason.len() as u64, reason.as_bytes())
    }

    /// Names a feed of the rule that gets the change; without it all of them do.
    pub fn route(&mut self, feed: &str) {
        self.edit(ROUTE, Kind::Absent, feed.len() as u64, feed.as_bytes())
    }

    /// Says why the change cannot be judged, in at most 1,024 bytes: `return event.error("no total")`. Nothing that is done to the
    /// change afterwards has an effect.
    pub fn error(&mut self, why: &str) -> Verdict {
        if !self.failed {
            self.log.cut(self.begin); // what was wanted of it no longer matters
            if !why.is_empty() {
                self.edit(ERROR, Kind::Absent, why.len() as u64, why.as_bytes());
            }
            self.failed = true;
        }
        Verdict::Error
    }
}
