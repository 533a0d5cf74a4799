//! Performs effects by enqueueing them where they are done.
