use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lets a line about something that may happen often into the diagnostic log now and then.
#[derive(Debug, Default)]
pub struct Seldom {
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    /// Nothing was told yet.
    pub const fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// Whether the line may be written now; if so, no other one for a while.
    #[expect(clippy::disallowed_methods, reason = "how often something is told is measured here")]
    pub fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= APART);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// From one line to the next.
const APART: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_once_in_a_while() {
        let seldom = Seldom::new();
        assert!(seldom.is_due());
        assert!(!seldom.is_due());
        let mut last = seldom.last.lock().unwrap();
        *last = last.and_then(|last| last.checked_sub(APART));
        drop(last);
        assert!(seldom.is_due());
    }
}
