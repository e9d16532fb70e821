//! One key: makes signatures, checks them, and tells its public half as a JWK (RFC 7517, RFC 7518 s6, RFC 8037).

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use strowger_core::base::hash::sha256;

use crate::random::base64url;

/// With what tokens are signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSA of 2048 bits, PKCS #1 v1.5, SHA-256: every verifier knows it.
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA over P-256 with SHA-256: short and quick to sign.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

    /// Its name in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of a name; names differ by case.
    pub fn named(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A key pair. Its private half is seen neither in Debug nor anywhere else.
pub struct SigningKey {
    pair: Pair,
    kid: String,
    jwk: serde_json::Value,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.algorithm().name(), self.kid)
    }
}

/// The library made no key, or did not take one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a key of this algorithm")]
pub struct BadKey;

impl SigningKey {
    /// Makes a key, and its PKCS #8 (RFC 5208) to be kept secret.
    pub fn generate(algorithm: Algorithm) -> Result<(SigningKey, Vec<u8>), BadKey> {
        let der = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| BadKey)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| BadKey)?;
                der.as_ref().to_vec()
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| BadKey)?;
                pair.to_pkcs8v1().map_err(|_| BadKey)?.as_ref().to_vec()
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(|_| BadKey)?;
                pair.to_pkcs8v1().map_err(|_| BadKey)?.as_ref().to_vec()
            }
        };
        Ok((SigningKey::from_pkcs8(algorithm, &der)?, der))
    }

    /// Reads a key. An RSA key has 2048 bits or more.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<SigningKey, BadKey> {
        let pair = match algorithm {
            Algorithm::Rs256 => Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(|_| BadKey)?),
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
                Pair::Ec(pair.map_err(|_| BadKey)?)
            }
            Algorithm::EdDsa => Pair::Ed(Ed25519KeyPair::from_pkcs8(der).map_err(|_| BadKey)?),
        };
        let members = members(&pair).ok_or(BadKey)?;
        // RFC 7638 s3: the required members, in the order of their names, without white space.
        let required = serde_json::to_string(&members).map_err(|_| BadKey)?;
        let kid = base64url(&sha256(&[required.as_bytes()]));
        let mut jwk = members;
        for (name, value) in [("kid", &*kid), ("use", "sig"), ("alg", algorithm.name())] {
            jwk.insert(name.into(), value.into());
        }
        Ok(SigningKey { pair, kid, jwk: jwk.into() })
    }

    /// RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// With what it signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::Rs256,
            Pair::Ec(_) => Algorithm::Es256,
            Pair::Ed(_) => Algorithm::EdDsa,
        }
    }

    /// The public half.
    pub fn jwk(&self) -> &serde_json::Value {
        &self.jwk
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BadKey> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| BadKey)?;
                Ok(signature)
            }
            Pair::Ec(pair) => Ok(pair.sign(&random, message).map_err(|_| BadKey)?.as_ref().to_vec()),
            Pair::Ed(pair) => Ok(pair.try_sign(message).map_err(|_| BadKey)?.as_ref().to_vec()),
        }
    }

    /// Whether it has signed this.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let (modulus, exponent) = (public.modulus(), public.exponent());
                let public = RsaPublicKeyComponents {
                    n: modulus.big_endian_without_leading_zero(),
                    e: exponent.big_endian_without_leading_zero(),
                };
                public.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Pair::Ec(pair) => {
                let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key());
                public.verify(message, signature).is_ok()
            }
            Pair::Ed(pair) => {
                UnparsedPublicKey::new(&ED25519, pair.public_key()).verify(message, signature).is_ok()
            }
        }
    }
}

/// What a JWK of this key needs. A map of serde_json is in the order of its names.
fn members(pair: &Pair) -> Option<serde_json::Map<String, serde_json::Value>> {
    let members = match pair {
        Pair::Rsa(pair) => {
            let public = pair.public_key();
            let n = base64url(public.modulus().big_endian_without_leading_zero());
            let e = base64url(public.exponent().big_endian_without_leading_zero());
            vec![("e", e), ("kty", "RSA".into()), ("n", n)]
        }
        Pair::Ec(pair) => {
            // SEC 1 s2.3.3: 4, then both coordinates.
            let [4, point @ ..] = pair.public_key().as_ref() else { return None };
            let (x, y) = point.split_at_checked(32)?;
            let (x, y) = (base64url(x), base64url(y));
            vec![("crv", "P-256".into()), ("kty", "EC".into()), ("x", x), ("y", y)]
        }
        Pair::Ed(pair) => {
            let x = base64url(pair.public_key().as_ref());
            vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", x)]
        }
    };
    Some(members.into_iter().map(|(name, value)| (name.to_string(), value.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_signs_and_no_other_key_verifies() {
        for algorithm in Algorithm::ALL {
            let (key, der) = SigningKey::generate(algorithm).unwrap();
            let again = SigningKey::from_pkcs8(algorithm, &der).unwrap();
            assert_eq!((again.kid(), again.algorithm()), (key.kid(), algorithm));
            let signature = key.sign(b"message").unwrap();
            assert!(again.verifies(b"message", &signature));
            assert!(!again.verifies(b"massage", &signature) && !again.verifies(b"message", b""));
            let (other, _) = SigningKey::generate(algorithm).unwrap();
            assert!(!other.verifies(b"message", &signature));
            for wrong in Algorithm::ALL.into_iter().filter(|a| *a != algorithm) {
                assert!(SigningKey::from_pkcs8(wrong, &der).is_err());
            }
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
        }
        assert_eq!(Algorithm::named("none"), None);
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let (key, der) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let shown = format!("{key:?} {}", key.jwk());
        assert!(!shown.contains(&base64url(&der[16..48])) && !shown.contains("\"d\""), "{shown}");
    }
}
