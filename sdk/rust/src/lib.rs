//! For plugins of cdcd: which changes to keep, which to drop, and what to alter of those that are kept.
//!
//! A plugin is a type with two functions. `init` makes it from the configuration of the rule, `filter` judges a change:
//!
//! ```
//! # #![allow(dead_code)]
//! use cdcd::{Event, Json, Plugin, Problem, Verdict};
//!
//! const STATUS: usize = 0; // columns, in the order of `columns` in plugin.yaml
//!
//! struct Paid;
//!
//! impl Plugin for Paid {
//!     fn init(_config: Json) -> Result<Self, Problem> {
//!         Ok(Paid)
//!     }
//!
//!     fn filter(&mut self, event: &mut Event) -> Verdict {
//!         if event.after(STATUS) != "paid" {
//!             return Verdict::Drop;
//!         }
//!         event.tag("paid");
//!         Verdict::Keep
//!     }
//! }
//!
//! cdcd::plugin!(Paid);
//! ```
//!
//! One that has no configuration can be a function: `cdcd::filter!(my_filter);`.
//!
//! The crate depends on nothing and needs no standard library, but works with it (feature `std`). Nothing here allocates while
//! changes are judged, but for edits, whose log grows when there are more of them than ever before.

#![no_std]
#![warn(missing_docs)]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

#[allow(unsafe_code)]
#[doc(hidden)]
pub mod abi;
mod decimal;
mod event;
mod json;
mod text;
mod value;

pub use decimal::Decimal;
pub use event::{Event, Image, Op};
pub use json::{Json, JsonKind};
pub use text::Text;
pub use value::{Civil, Kind, Value};

/// What is to become of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is not delivered. Edits that were made to it have no effect.
    Drop,
    /// It is delivered, with the edits that were made to it.
    Keep,
    /// It cannot be judged. [`Event::error`] returns it and says why.
    Error,
}

/// What is wrong with a configuration: `Err("the threshold is negative".into())`.
pub type Problem = Text<1024>;

/// A plugin. [`plugin!`] makes one of a type.
pub trait Plugin: Sized {
    /// Takes the configuration of the rule, an object that satisfies the schema in plugin.yaml: `{}` if there is none.
    #[allow(clippy::result_large_err)] // it is made once
    fn init(config: Json) -> Result<Self, Problem>;

    /// Judges a change. The same change must be judged the same, whatever came before it: what the plugin remembers may be a
    /// cache, and nothing else, for it is put back to what `init` made at any time.
    fn filter(&mut self, event: &mut Event) -> Verdict;
}

/// Makes the module a plugin of a type that is a [`Plugin`].
#[macro_export]
macro_rules! plugin {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static PLUGIN: $crate::abi::Slot<$plugin> = $crate::abi::Slot::new();

            #[no_mangle]
            extern "C" fn cdc_abi_1() {}

            #[no_mangle]
            extern "C" fn cdc_arena(kind: u32, bytes: u32) -> u32 {
                $crate::abi::arena(kind, bytes)
            }

            #[no_mangle]
            extern "C" fn cdc_init(bytes: u32) -> i32 {
                PLUGIN.init(bytes)
            }

            #[no_mangle]
            extern "C" fn cdc_batch(bytes: u32) -> u32 {
                PLUGIN.batch(bytes)
            }
        };
    };
}

/// Makes the module a plugin of a function, `fn(&mut Event) -> Verdict`.
#[macro_export]
macro_rules! filter {
    ($filter:expr) => {
        const _: () = {
            struct Filter;

            impl $crate::Plugin for Filter {
                fn init(_: $crate::Json) -> ::core::result::Result<Self, $crate::Problem> {
                    ::core::result::Result::Ok(Filter)
                }

                fn filter(&mut self, event: &mut $crate::Event) -> $crate::Verdict {
                    ($filter)(event)
                }
            }

            $crate::plugin!(Filter);
        };
    };
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the author.
    Debug = 0,
    /// For the operator.
    Info = 1,
    /// Something is odd.
    Warn = 2,
    /// Something is wrong.
    Error = 3,
}

/// Writes a line to cdcd's log. It is cut at 1,024 bytes.
pub fn log(level: Level, line: &str) {
    abi::log(level as u32, line.as_bytes())
}

/// Adds to the counter with this place in `metrics` of plugin.yaml.
pub fn metric(number: u32, delta: i64) {
    abi::metric(number, delta)
}
