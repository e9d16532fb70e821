//! INFO and its packages: RFC 6086. What a party is willing to receive is said to the other one, and INFO of another package
//! ends here.
//!
//! | | |
//! |---|---|
//! | `Recv-Info` of INVITE, UPDATE and their responses | crosses, and is kept for the side that said it |
//! | the same in a request that was refused | holds no more (RFC 6086 s5.2.4): it is kept when the 2xx is there |
//! | INFO with `Info-Package` that the other side has said | goes on |
//! | INFO with another one | 469, with what the other side has said |
//! | INFO without, as it was before RFC 6086 | goes on |

use super::call::Side;
use crate::base::text::owned;
use crate::ctx::{Extra, Refusal};
use crate::wire::{Header, Message, Method, Status};

/// The name of a package, without parameters.
fn name(value: &[u8]) -> &[u8] {
    value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

impl Side {
    /// What it is willing to receive from now on, if it says so.
    pub(super) fn hear_packages(&mut self, msg: Message<'_>) {
        if msg.header(Header::RecvInfo).is_none() {
            return;
        }
        let values: Vec<&[u8]> = msg.values(Header::RecvInfo).filter(|value| !value.is_empty()).collect();
        let said = values.join(&b", "[..]);
        if self.packages.as_deref() != Some(&said) {
            self.packages = Some(said.into());
        }
    }

    /// INFO of a package that it does not want goes no further (RFC 6086 s4.2.2).
    pub(super) fn refuse_package(&self, msg: Message<'_>) -> Result<(), Refusal> {
        let Some(package) = msg.header(Header::InfoPackage).filter(|_| msg.method() == Method::Info) else {
            return Ok(());
        };
        let said = self.packages.as_deref().unwrap_or_default();
        // RFC 6086 s11.4: the names are case-sensitive.
        match said.split(|b| *b == b',').any(|value| name(value) == name(package) && !name(value).is_empty())
        {
            true => Ok(()),
            false => {
                let said = owned(said);
                Err(Refusal::with(Status::BAD_INFO_PACKAGE, Extra::RecvInfo(said)))
            }
        }
    }
}
