//! Adds up what the columns are worth: numbers themselves, a text 1 if it is 'paid'.

#![no_std]

use cdcd::{Event, Json, Plugin, Problem, Verdict};

struct Score {
    columns: usize,
    least: i64,
}

impl Plugin for Score {
    fn init(config: Json) -> Result<Self, Problem> {
        Ok(Score { columns: config.member("columns").int().unwrap_or(0) as usize, least: config.member("least").int().unwrap_or(0) })
    }

    fn filter(&mut self, event: &mut Event) -> Verdict {
        let mut score = 0;
        for i in 0..self.columns {
            let value = event.after(i);
            score += if i % 2 == 1 { i64::from(value == "paid") } else { value.int().unwrap_or(0) };
        }
        if score >= self.least {
            Verdict::Keep
        } else {
            Verdict::Drop
        }
    }
}

cdcd::plugin!(Score);
