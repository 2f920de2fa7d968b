//! Keeps orders when their status has become 'paid' and their total is at least a threshold. What customers have noted is masked.

#![no_std]

use cdcd::{Decimal, Event, Image, Json, Op, Plugin, Problem, Text, Value, Verdict};

/// The columns, in the order of plugin.yaml.
const STATUS: usize = 0;
const TOTAL: usize = 1;
const NOTE: usize = 2;

/// What may be edited, and what is counted.
const EDIT_NOTE: usize = 0;
const METRIC_BIG: u32 = 0;

struct PaidOrders {
    threshold: Text<64>,
}

impl Plugin for PaidOrders {
    fn init(config: Json) -> Result<Self, Problem> {
        let threshold = config.member("threshold").number().unwrap_or(Decimal::new("1000"));
        Ok(PaidOrders { threshold: threshold.as_str().into() })
    }

    fn filter(&mut self, event: &mut Event) -> Verdict {
        if event.op() != Op::Update || !event.changed(STATUS) || event.after(STATUS) != "paid" {
            return Verdict::Drop;
        }
        if event.after(TOTAL).decimal() < Some(Decimal::new(&self.threshold)) {
            return Verdict::Drop;
        }
        event.tag("big");
        cdcd::metric(METRIC_BIG, 1);
        for image in [Image::Before, Image::After] {
            if !event.column(image, NOTE).is_empty() {
                event.set(image, EDIT_NOTE, Value::of_string("***"));
            }
        }
        Verdict::Keep
    }
}

cdcd::plugin!(PaidOrders);
