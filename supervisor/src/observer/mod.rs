//! Who is told what happens: bounded queues, isolated from sessions and from each other.
