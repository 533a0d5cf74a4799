//! Runs many tenants' voice agents on one machine, each behind its own process wall.
//!
//! Owns: every decision's consequences: processes, walls, sockets, records. Never: decides (that is `openrtc-policy`),
//! and never waits on a host.
//!
//! A file imports only from rows below its own:
//!
//! ```text
//! 5  main  lib  cli  application  demo  selftest  run  doctor
//! 4  driver  sources  effects  shutdown
//! 3  dispatch  control  changes
//! 2  spawn  host  wall  observer  audit  ledger  preflight  secrets
//! 1  config  telemetry
//! 0  sys                                  ← the only unsafe in this crate
//! ```

pub mod application;
pub mod audit;
pub mod changes;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod dispatch;
pub mod doctor;
pub mod driver;
pub mod effects;
pub mod host;
pub mod ledger;
pub mod metrics;
pub mod observer;
pub mod preflight;
pub mod run;
pub mod secrets;
pub mod selftest;
pub mod shutdown;
pub mod sources;
pub mod spawn;
pub mod sys;
pub mod telemetry;
pub mod wall;
