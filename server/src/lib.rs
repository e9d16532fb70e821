//! The ready-made server: one command, one file of settings, and everything an operator expects around it.
//!
//! - [`cli`]: the command line; [`serve`] runs a server, [`check`] looks at a configuration and runs nothing.
//! - [`config`]: the TOML file, with faults named by line and a "did you mean".
//! - [`state`]: what is kept between starts; [`first_run`]: what runs without a file (DECISIONS 32).
//! - [`office`], [`keeper`]: accounts and tokens, and how the engine hears of them; [`desk`] is their command line,
//!   [`exchange`] what the REST API sees of the engine.
//! - [`banner`], [`logs`], [`metrics`], [`http`]: what it says, and to whom.
#![forbid(unsafe_code)]

pub mod banner;
pub mod check;
pub mod cli;
pub mod config;
pub mod desk;
pub mod exchange;
mod files;
pub mod first_run;
pub mod http;
pub mod keeper;
mod links;
pub mod logs;
pub mod metrics;
pub mod office;
pub mod plan;
pub mod records;
pub mod roll;
pub mod serve;
pub mod state;
pub mod workroom;
