//! PCMU (G.711 µ-law): a sample of 16 bits in 8.

const BIAS: i32 = 0x84;
const LIMIT: i32 = 32_635;

/// Encodes a sample.
pub fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(LIMIT) + BIAS;
    // The position of the highest bit, above the seventh.
    let exponent = 24 - magnitude.leading_zeros();
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let code = sign | (exponent << 4) as i32 | mantissa;
    !(code as u8)
}

/// Decodes a sample.
pub fn decode(code: u8) -> i16 {
    let code = i32::from(!code);
    let (exponent, mantissa) = ((code >> 4) & 0x07, code & 0x0f);
    let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    (if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}
