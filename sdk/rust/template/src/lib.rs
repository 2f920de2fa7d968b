//! {{name}}, a plugin of cdcd.

#![no_std]

use cdcd::{Decimal, Event, Json, Plugin, Problem, Text, Verdict};

/// The columns, in the order of `columns` in plugin.yaml.
const STATUS: usize = 0;
const TOTAL: usize = 1;

struct Filter {
    threshold: Text<64>,
}

impl Plugin for Filter {
    /// Takes the configuration of the rule, which fits the schema in plugin.yaml.
    fn init(config: Json) -> Result<Self, Problem> {
        let threshold = config.member("threshold").number().unwrap_or(Decimal::new("1000"));
        Ok(Filter { threshold: threshold.as_str().into() })
    }

    /// Is asked about every change.
    fn filter(&mut self, event: &mut Event) -> Verdict {
        if !event.changed(STATUS) || event.after(STATUS) != "paid" {
            return Verdict::Drop;
        }
        if event.after(TOTAL).decimal() >= Some(Decimal::new(&self.threshold)) {
            event.tag("big");
        }
        Verdict::Keep
    }
}

cdcd::plugin!(Filter);
