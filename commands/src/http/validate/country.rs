//! ISO 3166-1 alpha-2.
use super::reader::Value;

const CODES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE \
    GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP \
    KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF \
    NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN \
    SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA \
    ZM ZW";

pub(crate) fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) && CODES.split(' ').any(|known| known == code)
}

pub(crate) fn country(value: Value<'_>) -> Option<String> {
    let text = value.text(0..=usize::MAX)?;
    if !is_country(text) {
        value.fault("invalid_country", "must be a country of ISO 3166-1, in two capital letters");
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_s_249_countries_are_known_and_nothing_else_is() {
        let codes: Vec<_> = CODES.split_whitespace().collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.iter().all(|code| is_country(code)));
        for code in ["us", "USA", "XX", "", "UK", "U", "U "] {
            assert!(!is_country(code), "{code}");
        }
    }
}
