//! What becomes of an INVITE of ours: one table, printed as a snapshot by its test. RFC 3261 s9.1, s13.2.2, s16.7.

/// How far an INVITE of ours is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Nothing came back.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// It is not wanted any more, and cannot be cancelled before a provisional response comes (RFC 3261 s9.1).
    Halting,
    /// CANCEL was sent.
    Cancelled,
    /// It was accepted.
    Answered,
    /// It has no dialog, and will have none.
    Over,
}

impl State {
    /// Its final response is still to come.
    pub(super) fn is_open(self) -> bool {
        matches!(self, State::Calling | State::Proceeding | State::Halting | State::Cancelled)
    }
}

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// 100.
    Trying,
    /// 101 to 199.
    Progress,
    /// 2xx while the one who asked still waits.
    Accepted,
    /// 2xx when he does not.
    TooLate,
    /// 300 to 699.
    Refused,
    /// No answer, or no way to send it.
    Silence,
    /// It is not wanted any more.
    Halt,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Does {
    /// Nothing.
    Nothing,
    /// The one who asked hears of it.
    Relay,
    /// It is what he asked for.
    Answer,
    /// ACK, and BYE: nobody wants it (RFC 3261 s13.2.2.4).
    Dismiss,
    /// ACK again, or if it is of another branch of a fork, ACK and BYE.
    Again,
    /// CANCEL.
    Cancel,
    /// It counts for the choice of the best response.
    Fail,
}

/// The table.
pub(super) fn next(state: State, heard: Heard) -> (State, Does) {
    match (state, heard) {
        (State::Calling | State::Proceeding, Heard::Trying) => (State::Proceeding, Does::Nothing),
        (State::Calling | State::Proceeding, Heard::Progress) => (State::Proceeding, Does::Relay),
        (State::Halting, Heard::Trying | Heard::Progress) => (State::Cancelled, Does::Cancel),
        // Its 2xx crossed our CANCEL: if he waits all the same, he has his call.
        (State::Calling | State::Proceeding | State::Halting | State::Cancelled, Heard::Accepted) => {
            (State::Answered, Does::Answer)
        }
        (State::Calling | State::Proceeding | State::Halting | State::Cancelled, Heard::TooLate) => {
            (State::Over, Does::Dismiss)
        }
        (State::Answered, Heard::Accepted | Heard::TooLate) => (State::Answered, Does::Again),
        (State::Over, Heard::Accepted | Heard::TooLate) => (State::Over, Does::Dismiss),
        (State::Calling | State::Proceeding, Heard::Refused | Heard::Silence) => (State::Over, Does::Fail),
        (State::Halting | State::Cancelled, Heard::Refused | Heard::Silence) => (State::Over, Does::Nothing),
        (State::Calling, Heard::Halt) => (State::Halting, Does::Nothing),
        (State::Proceeding, Heard::Halt) => (State::Cancelled, Does::Cancel),
        (State::Cancelled, Heard::Trying | Heard::Progress) => (state, Does::Nothing),
        (State::Halting | State::Cancelled, Heard::Halt) => (state, Does::Nothing),
        (State::Answered | State::Over, _) => (state, Does::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_an_invite() {
        use Heard::*;
        let states = [
            State::Calling,
            State::Proceeding,
            State::Halting,
            State::Cancelled,
            State::Answered,
            State::Over,
        ];
        let mut out = String::new();
        for state in states {
            for heard in [Trying, Progress, Accepted, TooLate, Refused, Silence, Halt] {
                let (then, does) = next(state, heard);
                let (state, heard) = (format!("{state:?}"), format!("{heard:?}"));
                out.push_str(&format!("{state:<11} {heard:<9} > {:<11} {does:?}\n", format!("{then:?}")));
            }
        }
        insta::assert_snapshot!(out);
    }

    #[test]
    fn what_is_accepted_is_acknowledged_in_every_state() {
        use State::*;
        for state in [Calling, Proceeding, Halting, Cancelled, Answered, Over] {
            for heard in [Heard::Accepted, Heard::TooLate] {
                assert!(matches!(next(state, heard).1, Does::Answer | Does::Dismiss | Does::Again));
            }
        }
    }
}
