//! What may be done to requests.

use std::time::Duration;

/// Something that is done to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 with that `Retry-After`.
    TooMany(Duration),
    /// That status, with nothing done.
    Status(u16),
    /// It is carried out, and the connection ends without an answer.
    LoseAnswer,
    /// The connection ends before anything is done.
    Drop,
    /// It is answered so much later.
    Delay(Duration),
    /// It is never answered.
    Hang,
    /// It is carried out and answered with a web page.
    WebPage,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    method: String,
    path: String,
    fault: Fault,
    left: u32,
}

impl Faults {
    pub(super) fn add(&mut self, method: &str, path: &str, fault: Fault, times: u32) {
        let row = Row {
            method: method.to_owned(),
            path: path.to_owned(),
            fault,
            left: times,
        };
        self.rows.push(row);
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// What happens to this request: the first that matches, used up by one.
    pub(super) fn next(&mut self, method: &str, path: &str) -> Option<Fault> {
        let matches = |row: &&mut Row| {
            (row.method.is_empty() || row.method == method) && path.starts_with(&row.path)
        };
        let row = self.rows.iter_mut().find(matches)?;
        row.left = row.left.saturating_sub(1);
        let fault = row.fault.clone();
        self.rows.retain(|row| row.left > 0);
        Some(fault)
    }
}
