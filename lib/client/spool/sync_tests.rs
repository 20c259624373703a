//! Syncs that take long, fail, hang or lose what they are about, against the model of the spool.
