//! BuildKit's messages, as far as they are needed, written down for `prost`.
//!
//! Sources: `api/services/control/control.proto`, `frontend/gateway/pb/gateway.proto`, `solver/pb/ops.proto`,
//! `session/*/*.proto` of moby/buildkit, `types/{stat,wire}.proto` of tonistiigi/fsutil, containerd's
//! `content.proto`. Fields that nobody here reads or writes are left out: protobuf skips them.

pub(crate) mod content;
pub(crate) mod control;
pub(crate) mod gateway;
pub(crate) mod ops;
pub(crate) mod parts;
pub(crate) mod session;
