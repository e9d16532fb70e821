//! Call records: a line of JSON for each call that is over, in a file or on standard output.
//!
//! Times are RFC 3339 in UTC, to the millisecond; what never happened is `null`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use strowger_core::base::Time;
use strowger_core::door::{CallRecord, LegRecord};

use crate::cli::Complaint;

/// Where records go.
#[derive(Debug)]
pub enum Records {
    /// To the end of a file.
    File(File),
    /// To standard output.
    Stdout,
}

impl Records {
    /// Opens the file, or takes `-` for standard output. A file that exists is continued.
    pub fn open(path: &Path) -> Result<Records, Complaint> {
        if path == Path::new("-") {
            return Ok(Records::Stdout);
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.map(Records::File).map_err(|error| {
            let path = path.display();
            Complaint(format!(
                "cannot write call records to {path}: {error}. Choose another place in [calls]"
            ))
        })
    }

    /// Writes a record, as one line in one piece.
    pub fn write(&mut self, record: &CallRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line::of(record))?;
        line.push(b'\n');
        match self {
            Records::File(file) => file.write_all(&line),
            Records::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&line)?;
                out.flush()
            }
        }
    }
}

/// A record as it is written.
#[derive(Serialize)]
struct Line<'r> {
    id: u64,
    call_id: &'r str,
    caller: &'r str,
    callee: &'r str,
    source: String,
    began: String,
    rang: Option<String>,
    answered: Option<String>,
    ended: String,
    /// From the answer to the end.
    seconds: f64,
    status: u16,
    cause: &'static str,
    legs: Vec<Leg<'r>>,
}

#[derive(Serialize)]
struct Leg<'r> {
    target: &'r str,
    remote: String,
    call_id: &'r str,
    began: String,
    status: u16,
}

impl<'r> Line<'r> {
    fn of(record: &'r CallRecord) -> Line<'r> {
        let talked = record.answered.map_or(0, |answered| record.ended.since(answered).as_millis());
        Line {
            id: record.id,
            call_id: &record.call_id,
            caller: &record.caller,
            callee: &record.callee,
            source: record.source.to_string(),
            began: rfc3339(record.began),
            rang: record.rang.map(rfc3339),
            answered: record.answered.map(rfc3339),
            ended: rfc3339(record.ended),
            seconds: talked as f64 / 1e3,
            status: record.status,
            cause: record.end.text(),
            legs: record.legs.iter().map(leg).collect(),
        }
    }
}

fn leg(leg: &LegRecord) -> Leg<'_> {
    let LegRecord { target, remote, call_id, began, status } = leg;
    Leg { target, remote: remote.to_string(), call_id, began: rfc3339(*began), status: *status }
}

/// A time as RFC 3339 has it.
fn rfc3339(time: Time) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())) {
        Ok(time) => format!("{time:.3}"),
        // `Time` ends in 2554, which every calendar knows.
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strowger_core::door::CallEnd;

    use super::*;

    #[test]
    fn a_record_is_one_line_of_json() {
        let began = Time::from_secs(1_700_000_000);
        let mut record = CallRecord {
            id: 7,
            call_id: "c\"1@192.0.2.8".into(),
            caller: "alice@example.com".into(),
            callee: "bob@example.com".into(),
            source: "192.0.2.8:5060".parse().expect("an address"),
            began,
            rang: Some(began + Duration::from_millis(120)),
            answered: Some(began + Duration::from_secs(4)),
            ended: began + Duration::from_millis(65_250),
            status: 200,
            end: CallEnd::Callee,
            legs: vec![LegRecord {
                target: "bob@example.com".into(),
                remote: "192.0.2.9:5060".parse().expect("an address"),
                call_id: "5f1c".into(),
                began,
                status: 200,
            }],
        };
        let text = |record: &CallRecord| serde_json::to_string(&Line::of(record)).expect("it is plain");
        assert_eq!(
            text(&record),
            r#"{"id":7,"call_id":"c\"1@192.0.2.8","caller":"alice@example.com","callee":"bob@example.com","#
                .to_owned()
                + r#""source":"192.0.2.8:5060","began":"2023-11-14T22:13:20.000Z","rang":"2023-11-14T22:13:20.120Z","#
                + r#""answered":"2023-11-14T22:13:24.000Z","ended":"2023-11-14T22:14:25.250Z","seconds":61.25,"#
                + r#""status":200,"cause":"callee","legs":[{"target":"bob@example.com","remote":"192.0.2.9:5060","#
                + r#""call_id":"5f1c","began":"2023-11-14T22:13:20.000Z","status":200}]}"#
        );
        (record.rang, record.answered, record.end) = (None, None, CallEnd::Cancelled);
        let text = text(&record);
        assert!(
            text.contains(r#""rang":null,"answered":null"#) && text.contains(r#""seconds":0.0"#),
            "{text}"
        );
    }
}
