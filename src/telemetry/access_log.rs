use std::{cell::RefCell, sync::Arc};

use super::{Metrics, Outcome, line::LineWriter, sink::Sink, standard::standard};

/// One JSON line a request, on standard output. A request appends to a queue; a thread of its own writes it out.
pub struct AccessLog {
    sink: Arc<Sink>,
}

thread_local! {
    static LINE: RefCell<LineWriter> = const { RefCell::new(LineWriter::new()) };
}

impl AccessLog {
    /// The one on standard output.
    pub fn standard() -> Self {
        Self { sink: Arc::clone(&standard().access_log) }
    }

    /// Appends the line of one request.
    pub fn record(&self, outcome: &Outcome<'_>, names: &Metrics) {
        LINE.with_borrow_mut(|line| self.sink.append(line.write(outcome, names).as_bytes()));
    }

    /// Lines that were lost because the output did not take them.
    pub fn lost(&self) -> u64 {
        self.sink.lost()
    }
}
