//! Reading bodies within bounds.

use std::time::Duration;

use crate::{DecodeError, Encoding};

/// A body that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than allowed, as sent or after decompression.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// It did not come in time.
    #[error("the body did not come within {0:?}")]
    Late(Duration),
    /// Its encoding is not known.
    #[error("{0}")]
    Encoding(String),
    /// It is not what its encoding says.
    #[error("{0}")]
    Broken(String),
    /// The connection broke.
    #[error("read the body: {0}")]
    Connection(String),
}

impl BodyError {
    /// The status with which to answer a request that has such a body.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::TooLarge { .. } => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Late(_) => http::StatusCode::REQUEST_TIMEOUT,
            Self::Encoding(_) => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Broken(_) | Self::Connection(_) => http::StatusCode::BAD_REQUEST,
        }
    }
}

impl From<DecodeError> for BodyError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TooLarge { limit } => Self::TooLarge { limit },
            DecodeError::Broken(error) => Self::Broken(format!("decompress the body: {error}")),
        }
    }
}

/// Reads and decompresses a request's body: at most `limit` bytes as sent and after decompression,
/// within `timeout`.
pub(crate) async fn read_request<B>(
    request: http::Request<B>,
    limit: usize,
    timeout: Duration,
) -> Result<Vec<u8>, BodyError>
where
    B: http_body_util::BodyExt<Data = bytes::Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let header = request.headers().get(http::header::CONTENT_ENCODING);
    let name = header.map_or(Ok(""), |value| value.to_str().map_err(|_| "no text"));
    let name = name.map_err(|error| BodyError::Encoding(error.to_owned()))?;
    let encoding = Encoding::parse(name).map_err(BodyError::Encoding)?;
    let mut body = request.into_body();
    let hint = body.size_hint();
    let announced = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(BodyError::TooLarge { limit });
    }
    let read = async {
        let mut out = Vec::with_capacity(announced);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyError::Connection(error.to_string()))?;
            if let Some(data) = frame.data_ref() {
                if data.len() > limit - out.len() {
                    return Err(BodyError::TooLarge { limit });
                }
                out.extend_from_slice(data);
            }
        }
        Ok(out)
    };
    let bytes = tokio::time::timeout(timeout, read)
        .await
        .map_err(|_| BodyError::Late(timeout))??;
    Ok(encoding.decode(bytes, limit)?)
}

/// Reads a response's body: at most `limit` bytes after decompression.
///
/// # Errors
/// If there are more, or the connection breaks.
pub async fn read_response(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let mut out = Vec::with_capacity(announced as usize);
    loop {
        let chunk = response.chunk().await;
        match chunk.map_err(|error| BodyError::Connection(crate::describe_error(&error)))? {
            None => return Ok(out),
            Some(chunk) if chunk.len() > limit - out.len() => {
                return Err(BodyError::TooLarge { limit });
            }
            Some(chunk) => out.extend_from_slice(&chunk),
        }
    }
}

/// The beginning of a response's body as one line of text, for an error message.
pub async fn read_text_excerpt(mut response: reqwest::Response) -> String {
    const MOST: usize = 1024;
    let mut out = Vec::new();
    while out.len() < MOST
        && let Ok(Some(chunk)) = response.chunk().await
    {
        out.extend_from_slice(&chunk[..chunk.len().min(MOST - out.len())]);
    }
    let text = String::from_utf8_lossy(&out);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
