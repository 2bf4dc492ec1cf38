//! The parameter `platform` of API 1.46 and later: a platform as a JSON document.

use corten_api::image::Platform;

use crate::{
    dispatch::Call,
    error::{ApiError, ApiResult},
};

/// The platform that a request names; none when it names none.
///
/// # Errors
/// 400, in Docker's words.
pub(crate) fn asked(call: &Call) -> ApiResult<Option<Platform>> {
    call.query.given("platform").map(parse).transpose()
}

/// All values of a repeated parameter.
///
/// # Errors
/// As [`asked`].
pub(crate) fn all(call: &Call, name: &str) -> ApiResult<Vec<Platform>> {
    call.query.all(name).iter().map(|text| parse(text)).collect()
}

fn parse(text: &str) -> ApiResult<Platform> {
    let platform: Platform = corten_api::decode_request(text.as_bytes()).map_err(|error| {
        let why = crate::refusal::reason::<Platform>(text.as_bytes(), &error);
        let why = why.strip_prefix("invalid JSON: ").unwrap_or(&why);
        ApiError::invalid(format!("failed to parse platform: {why}"))
    })?;
    if platform.os.is_empty() || platform.architecture.is_empty() {
        return Err(ApiError::invalid("both OS and Architecture must be provided"));
    }
    Ok(platform)
}
