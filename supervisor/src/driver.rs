//! The one loop: takes events, asks policy, performs effects.
