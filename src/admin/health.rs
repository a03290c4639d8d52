use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the store can be used, as far as the gateway has tried.
#[derive(Debug)]
pub struct StoreHealth {
    reads: AtomicBool,
    writes: AtomicBool,
}

/// What was tried on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To learn of changes.
    Read,
    /// To make one.
    Write,
}

/// Whether it is as it was at the last try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is.
    Same,
    /// It works again, or no longer.
    New,
}

impl Default for StoreHealth {
    /// A gateway does not start without its store.
    fn default() -> Self {
        Self { reads: AtomicBool::new(true), writes: AtomicBool::new(true) }
    }
}

impl StoreHealth {
    /// Notes that the store could be used.
    pub fn works(&self, access: Access) -> Turn {
        turn(self.place(access).swap(true, Ordering::Relaxed), true)
    }

    /// Notes that the store could not be used.
    pub fn fails(&self, access: Access) -> Turn {
        turn(self.place(access).swap(false, Ordering::Relaxed), false)
    }

    /// Whether it can be read and written.
    pub fn is_up(&self) -> bool {
        self.fault().is_none()
    }

    /// What does not work, in words for operators.
    pub fn fault(&self) -> Option<&'static str> {
        match (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed)) {
            (true, true) => None,
            (false, _) => Some("unavailable; going on with what is known"),
            (true, false) => Some("unavailable for changes; going on with what is known"),
        }
    }

    const fn place(&self, access: Access) -> &AtomicBool {
        match access {
            Access::Read => &self.reads,
            Access::Write => &self.writes,
        }
    }
}

const fn turn(before: bool, after: bool) -> Turn {
    if before == after { Turn::Same } else { Turn::New }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_up_while_it_can_be_read_and_written() {
        let health = StoreHealth::default();
        assert!(health.is_up());
        assert_eq!(health.works(Access::Read), Turn::Same);
        for access in [Access::Read, Access::Write] {
            assert_eq!([health.fails(access), health.fails(access)], [Turn::New, Turn::Same]);
            assert!(health.fault().is_some_and(|fault| fault.starts_with("unavailable")), "{access:?}");
            assert_eq!([health.works(access), health.works(access)], [Turn::New, Turn::Same]);
            assert!(health.is_up());
        }
    }
}
