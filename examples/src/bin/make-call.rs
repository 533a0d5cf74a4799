//! Writes the example agency's recording, `agency/call.wav`, byte for byte as it stands in the repository.
//!
//! `cargo run -p openrtc-examples --bin make-call [PATH]`

use std::path::PathBuf;

use anyhow::Context;
use openrtc_supervisor::demo::synth;

fn main() -> anyhow::Result<()> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/agency/call.wav");
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let recording = synth::example_call();
    let bytes = synth::wav(&recording).context("encode the recording")?;
    std::fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
    println!("{}: {} bytes, {} turns", path.display(), bytes.len(), recording.turns.len());
    Ok(())
}
