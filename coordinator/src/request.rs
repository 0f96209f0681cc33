//! What a client asks for.

use farm_dockerfile::lower;

/// One build.
#[derive(Clone, Debug)]
pub struct Request {
    /// The Dockerfile's bytes.
    pub dockerfile: Vec<u8>,
    /// What to call it in messages.
    pub dockerfile_name: String,
    /// Target, arguments, contexts and the like.
    pub options: lower::Options,
    /// Whether tags are asked for again although the last answer is fresh.
    pub pull: bool,
}
