//! The one loop: takes events, asks policy, performs effects.
//!
//! Owns: policy, and the order of events. Never: awaits anything but its queue and the clock.

pub use openrtc_policy::Policy;
