//! What stands between the host and the plugin: the interface `cdc1`,
//! <https://github.com/cdcd-project/cdcd/blob/main/wasm/ABI.md>. All unsafe code of the crate is here.
//!
//! It is sound for two reasons. A plugin has one thread, and no function of it is called while another one runs, so that the
//! arenas have one user at a time. And the host seals frames: that offsets in a frame lie within it is its promise, which readers in
//! a sandbox need not check again.

use core::marker::PhantomData;
use core::slice;

/// A frame, or a part of one, that offsets count from.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    at: *const u8,
    of: PhantomData<&'a [u8]>,
}

impl<'a> Part<'a> {
    #[inline]
    pub fn part(self, offset: u32) -> Part<'a> {
        Part { at: unsafe { self.at.add(offset as usize) }, of: PhantomData }
    }

    #[inline]
    pub fn u8(self, offset: u32) -> u8 {
        unsafe { self.at.add(offset as usize).read() }
    }

    #[inline]
    pub fn u16(self, offset: u32) -> u16 {
        u16::from_le(unsafe { self.at.add(offset as usize).cast::<u16>().read_unaligned() })
    }

    #[inline]
    pub fn u32(self, offset: u32) -> u32 {
        u32::from_le(unsafe { self.at.add(offset as usize).cast::<u32>().read_unaligned() })
    }

    #[inline]
    pub fn u64(self, offset: u32) -> u64 {
        u64::from_le(unsafe { self.at.add(offset as usize).cast::<u64>().read_unaligned() })
    }

    #[inline]
    pub fn bytes(self, offset: u32, len: u32) -> &'a [u8] {
        unsafe { slice::from_raw_parts(self.at.add(offset as usize), len as usize) }
    }

    /// The text that a ref at the offset points to.
    pub fn text(self, offset: u32) -> &'a str {
        core::str::from_utf8(self.bytes(self.u32(offset), self.u32(offset + 4))).unwrap_or("")
    }
}

/// What a text that is built of texts holds.
pub(crate) fn utf8(bytes: &[u8]) -> &str {
    debug_assert!(core::str::from_utf8(bytes).is_ok());
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::*;
#[cfg(target_arch = "wasm32")]
pub use wasm::{arena, Slot};

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::Part;
    use crate::{Event, Json, Plugin, Verdict};
    use core::arch::wasm32::{memory_grow, memory_size, unreachable};
    use core::cell::UnsafeCell;
    use core::marker::PhantomData;
    use core::sync::atomic::{compiler_fence, Ordering::SeqCst};
    use core::{ptr, slice};

    mod host {
        #[link(wasm_import_module = "cdc1")]
        extern "C" {
            pub fn log(level: u32, at: *const u8, len: usize);
            pub fn metric(number: u32, delta: i64);
            pub fn json(event: u32, at: *mut u8, room: usize) -> i32;
        }
    }

    pub fn log(level: u32, line: &[u8]) {
        unsafe { host::log(level, line.as_ptr(), line.len()) }
    }

    pub fn metric(number: u32, delta: i64) {
        unsafe { host::metric(number, delta) }
    }

    const PAGE: usize = 65536;
    const EVENTS: usize = 256;

    /// What only one uses at a time.
    struct Alone<T>(UnsafeCell<T>);

    unsafe impl<T> Sync for Alone<T> {}

    #[repr(C, align(8))]
    struct Aligned<const N: usize>([u8; N]);

    static FIRST_IN: Alone<Aligned<PAGE>> = Alone(UnsafeCell::new(Aligned([0; PAGE])));
    static FIRST_LOG: Alone<Aligned<8192>> = Alone(UnsafeCell::new(Aligned([0; 8192])));

    /// The arena *out*.
    #[repr(C, align(8))]
    struct Out {
        cursor: u32,
        log: u32,
        log_len: u32,
        reserved: u32,
        verdicts: [u8; EVENTS],
    }

    static OUT: Alone<Out> = Alone(UnsafeCell::new(Out { cursor: 0, log: 0, log_len: 0, reserved: 0, verdicts: [0; EVENTS] }));

    /// Memory that grows: whole pages, taken for good. Allocators live beside it.
    struct Region {
        at: *mut u8,
        room: usize,
    }

    impl Region {
        const fn new() -> Region {
            Region { at: ptr::null_mut(), room: 0 }
        }

        /// Makes it hold at least `need` bytes, of which the first `used` stay what they are.
        fn grow(&mut self, need: usize, used: usize) -> bool {
            let room = need.max(self.room.saturating_mul(2));
            let pages = room / PAGE + 1;
            let end = memory_size(0).wrapping_mul(PAGE);
            let more = pages - self.room / PAGE;
            if !self.at.is_null()
                && self.room % PAGE == 0
                && self.at as usize + self.room == end
                && memory_grow(0, more) != usize::MAX
            {
                self.room = pages * PAGE; // it has been made longer where it is
                return true;
            }
            let page = memory_grow(0, pages);
            if page == usize::MAX {
                return false;
            }
            let at = (page * PAGE) as *mut u8;
            if used > 0 {
                unsafe { ptr::copy_nonoverlapping(self.at, at, used) };
            }
            *self = Region { at, room: pages * PAGE };
            true
        }
    }

    /// The log of edits, and what else an event needs of the host.
    pub struct Log {
        edits: Region,
        len: usize,
        json: Region,
    }

    struct Arenas {
        input: Region,
        log: Log,
    }

    static ARENAS: Alone<Arenas> =
        Alone(UnsafeCell::new(Arenas { input: Region::new(), log: Log { edits: Region::new(), len: 0, json: Region::new() } }));

    /// `cdc_arena`.
    pub fn arena(kind: u32, bytes: u32) -> u32 {
        let bytes = bytes as usize;
        let arenas = unsafe { &mut *ARENAS.0.get() };
        let input = &mut arenas.input;
        match kind {
            0 => {
                if input.at.is_null() {
                    *input = Region { at: FIRST_IN.0.get().cast(), room: PAGE };
                }
                if bytes > input.room && !input.grow(bytes, 0) {
                    return 0;
                }
                input.at as u32
            }
            1 if bytes <= core::mem::size_of::<Out>() => {
                #[cfg(feature = "std")]
                crate::abi::report_panics();
                arenas.log.edits = Region { at: FIRST_LOG.0.get().cast(), room: 8192 };
                OUT.0.get() as u32
            }
            _ => 0,
        }
    }

    /// Where the plugin is kept.
    pub struct Slot<P>(Alone<Option<P>>);

    impl<P: Plugin> Slot<P> {
        #[allow(clippy::new_without_default)]
        pub const fn new() -> Self {
            Slot(Alone(UnsafeCell::new(None)))
        }

        /// `cdc_init`.
        pub fn init(&self, bytes: u32) -> i32 {
            let input = unsafe { &(*ARENAS.0.get()).input };
            let config = unsafe { slice::from_raw_parts(input.at, bytes as usize) };
            match P::init(Json::new(config)) {
                Ok(plugin) => {
                    unsafe { *self.0 .0.get() = Some(plugin) };
                    0
                }
                Err(problem) if problem.is_empty() => -1,
                Err(problem) => {
                    unsafe { ptr::copy_nonoverlapping(problem.as_ptr(), input.at, problem.len()) };
                    problem.len() as i32
                }
            }
        }

        /// `cdc_batch`.
        pub fn batch(&self, bytes: u32) -> u32 {
            let plugin = match unsafe { &mut *self.0 .0.get() } {
                Some(plugin) => plugin,
                None => return bytes, // the host has not called cdc_init
            };
            let out = OUT.0.get();
            let Arenas { input, log } = unsafe { &mut *ARENAS.0.get() };
            let frame = Part { at: input.at, of: PhantomData };
            let events = frame.u32(68) as usize;
            let mut entry = frame.part(frame.u32(72));
            if events > EVENTS {
                return bytes;
            }
            log.len = 0;
            for i in 0..events {
                unsafe { ptr::addr_of_mut!((*out).cursor).write_volatile(i as u32) };
                compiler_fence(SeqCst); // should this event trap, the host reads what was written before it
                let begin = log.len;
                let mut event = Event::new(frame, entry, i as u32, log);
                let mut verdict = plugin.filter(&mut event);
                let failed = event.failed();
                if failed {
                    verdict = Verdict::Error;
                }
                if verdict != Verdict::Keep && !failed {
                    log.len = begin;
                }
                let verdict = match verdict {
                    Verdict::Drop => 0,
                    Verdict::Keep if log.len == begin => 1,
                    Verdict::Keep => 2,
                    Verdict::Error => 3,
                };
                unsafe {
                    (*out).verdicts[i] = verdict;
                    (*out).log = log.edits.at as u32;
                    (*out).log_len = log.len as u32;
                }
                compiler_fence(SeqCst);
                entry = entry.part(32);
            }
            unsafe { ptr::addr_of_mut!((*out).cursor).write_volatile(events as u32) };
            0
        }
    }

    fn refused(what: &str) -> ! {
        log(3, what.as_bytes());
        unreachable()
    }

    impl Log {
        pub fn len(&self) -> usize {
            self.len
        }

        pub fn cut(&mut self, len: usize) {
            self.len = len;
        }

        /// Appends an entry: `what` is the third word of it.
        pub fn append(&mut self, event: u32, what: u32, kind: u8, value: u64, text: &[u8]) {
            let size = 24 + (text.len() + 7) / 8 * 8;
            if size > self.edits.room - self.len && !self.edits.grow(self.len + size, self.len) {
                refused("cdcd: no memory is left for edits");
            }
            unsafe {
                let at = self.edits.at.add(self.len);
                at.cast::<[u32; 4]>().write([size as u32, event, what, kind as u32]);
                at.add(16).cast::<u64>().write(value);
                if !text.is_empty() {
                    at.add(size - 8).cast::<u64>().write(0);
                    ptr::copy_nonoverlapping(text.as_ptr(), at.add(24), text.len());
                }
            }
            self.len += size;
        }

        /// An event as JSON.
        pub fn json(&mut self, event: u32) -> &[u8] {
            loop {
                let len = unsafe { host::json(event, self.json.at, self.json.room) };
                if len < 0 {
                    return &[];
                }
                if len as usize <= self.json.room {
                    return unsafe { slice::from_raw_parts(self.json.at, len as usize) };
                }
                if !self.json.grow(len as usize, 0) {
                    refused("cdcd: no memory is left for the change as JSON");
                }
            }
        }
    }
}

/// Elsewhere, where a plugin is only looked at by tools and tests, there is no host.
#[cfg(not(target_arch = "wasm32"))]
mod elsewhere {
    pub struct Log(());

    impl Log {
        pub fn len(&self) -> usize {
            0
        }

        pub fn cut(&mut self, _: usize) {}

        pub fn append(&mut self, _: u32, _: u32, _: u8, _: u64, _: &[u8]) {}

        pub fn json(&mut self, _: u32) -> &[u8] {
            &[]
        }
    }

    pub fn log(_: u32, _: &[u8]) {}

    pub fn metric(_: u32, _: i64) {}
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use elsewhere::*;

/// Says where it happened; what the message would need to be put together is left out of the module.
#[cfg(all(target_arch = "wasm32", feature = "panic-handler", not(feature = "std")))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let mut line: crate::Text<512> = "panicked".into();
    if let Some(at) = info.location() {
        line.push(" at ");
        line.push(at.file());
        line.push(":");
        line.push_uint(at.line() as u64);
    }
    log(3, line.as_bytes());
    core::arch::wasm32::unreachable()
}

/// Has panics of the standard library logged; after that it traps.
#[cfg(all(target_arch = "wasm32", feature = "std"))]
fn report_panics() {
    use std::string::ToString;
    std::panic::set_hook(std::boxed::Box::new(|info| log(3, info.to_string().as_bytes())));
}
