//! Tokens: a fresh one for every request, asked for again shortly before its end.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use http::{HeaderValue, Request, header::AUTHORIZATION};
use kube::client::Body;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tower::BoxError;
use trunkline_engine::Failure;

/// A bearer token and the moment it ends.
#[derive(Clone)]
pub struct Token {
    /// What goes behind `Bearer`.
    pub secret: SecretString,
    /// When the other side stops taking it.
    pub expires: jiff::Timestamp,
}

/// Whoever makes tokens: for EKS a presigner of STS URLs.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// Makes a new token.
    ///
    /// # Errors
    /// When there are no credentials, or they are refused.
    async fn token(&self) -> Result<Token, Failure>;
}

/// A token that never changes: for tests and for clusters without EKS.
pub struct FixedToken(SecretString);

/// A token is renewed when less than this is left: EKS's last 15 minutes, and a
/// request must still be on its way when the clock of the other side is ahead.
const RENEW_BEFORE: Duration = Duration::from_secs(3 * 60);

/// Hands out tokens, made by a source and kept until near their end.
#[derive(Clone)]
pub(crate) struct Tokens {
    source: Arc<dyn TokenSource>,
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Kept {
    token: Token,
    renew_at: Instant,
    renew_at_clock: SystemTime,
}

impl Tokens {
    pub(crate) fn new(source: Arc<dyn TokenSource>) -> Self {
        Self {
            source,
            kept: Arc::default(),
        }
    }

    /// A token that is good for some minutes. One request makes a new one, the
    /// others wait for it.
    pub(crate) async fn get(&self) -> Result<Token, Failure> {
        let mut kept = self.kept.lock().await;
        // Both clocks: the monotonic one stands still while a laptop sleeps, and
        // the wall clock may be set back.
        if let Some(found) = kept.as_ref()
            && Instant::now() < found.renew_at
            && SystemTime::now() < found.renew_at_clock
        {
            return Ok(found.token.clone());
        }
        let token = self.source.token().await?;
        let left = token.expires.duration_since(jiff::Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        // A token that lives for less than twice that is renewed at its half.
        let keep = left
            .checked_sub(RENEW_BEFORE)
            .unwrap_or_default()
            .max(left / 2);
        *kept = Some(Kept {
            token: token.clone(),
            renew_at: Instant::now() + keep.min(Duration::from_secs(24 * 3600)),
            renew_at_clock: SystemTime::now() + keep.min(Duration::from_secs(24 * 3600)),
        });
        Ok(token)
    }

    /// Puts a token into a request.
    pub(crate) async fn sign(self, mut request: Request<Body>) -> Result<Request<Body>, BoxError> {
        let token = self.get().await?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.secret.expose_secret()))
            .map_err(|_| Failure::bug("the token holds a character that no header takes"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(request)
    }
}

impl FixedToken {
    /// Wraps a token.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(SecretString::from(secret.into()))
    }
}

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self) -> Result<Token, Failure> {
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        Ok(Token {
            secret: self.0.clone(),
            expires,
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(expires {})", self.expires)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Counting {
        made: AtomicU32,
        lives: jiff::SignedDuration,
    }

    #[async_trait]
    impl TokenSource for Counting {
        async fn token(&self) -> Result<Token, Failure> {
            let n = self.made.fetch_add(1, Ordering::SeqCst);
            let expires = jiff::Timestamp::now() + self.lives;
            Ok(Token {
                secret: format!("t{n}").into(),
                expires,
            })
        }
    }

    async fn asked_twice(lives: jiff::SignedDuration) -> u32 {
        let source = Arc::new(Counting {
            made: AtomicU32::new(0),
            lives,
        });
        let tokens = Tokens::new(source.clone());
        tokens.get().await.unwrap();
        tokens.get().await.unwrap();
        source.made.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn a_good_token_is_kept_and_an_ended_one_is_not() {
        assert_eq!(asked_twice(jiff::SignedDuration::from_mins(15)).await, 1);
        assert_eq!(asked_twice(jiff::SignedDuration::from_mins(2)).await, 1);
        assert_eq!(asked_twice(jiff::SignedDuration::ZERO).await, 2);
        assert_eq!(asked_twice(jiff::SignedDuration::from_mins(-1)).await, 2);
    }

    #[tokio::test]
    async fn the_token_is_marked_as_sensitive() {
        let tokens = Tokens::new(Arc::new(FixedToken::new("abc")));
        let signed = tokens.sign(Request::new(Body::empty())).await.unwrap();
        assert!(signed.headers()[AUTHORIZATION].is_sensitive());
        assert_eq!(signed.headers()[AUTHORIZATION], "Bearer abc");
    }
}
