//! Load on a running server over loopback: requests with a known answer each, every answer checked, what is missing
//! counted, latency from the intended send time, CPU time of the server from `/proc`.

pub(crate) mod auth;
mod calls;
mod cpu;
mod histogram;
mod parties;
pub(crate) mod reply;
pub(crate) mod request;
mod run;
mod watch;
mod wire;

pub use auth::{Algorithm, Auth, Tokens};
pub use calls::{CallPlan, CallReport, calls};
pub use cpu::{CpuTime, cpu_of};
pub use histogram::Histogram;
pub use parties::{Answered, Heard, Method, Parties};
pub use request::Kind;
pub use run::{Pace, Plan, Report, run};
pub use watch::{WatchPlan, WatchReport, watch};
pub use wire::Over;
