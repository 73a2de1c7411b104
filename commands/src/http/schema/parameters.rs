//! Parameters of path, query and headers.
use super::described;
use utoipa::IntoParams;

described! {
    #[into_params(parameter_in = Path)]
    IntoParams OrderPath {
        /// `ord_` and 32 hexadecimal digits.
        id: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams FulfillmentPath {
        /// `ful_` and 32 hexadecimal digits.
        id: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams SagaPath {
        /// `sag_` and 32 hexadecimal digits, or a return's: `ret_`, 32 hexadecimal digits, `_` and its number.
        id: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams ReturnPath {
        /// `ret_`, the 32 hexadecimal digits of its order, `_` and its number within the order.
        id: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams LocationPath {
        /// `main`.
        code: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams CustomerPath {
        /// The shop's id.
        shop: String,
        /// The shop's own name for the customer, percent-encoded.
        r#ref: String,
    }

    #[into_params(parameter_in = Query)]
    IntoParams ShopQuery {
        /// Whose stock it is; by default the key's shop, or the only shop.
        shop: Option<String>,
    }

    #[into_params(parameter_in = Query)]
    IntoParams DryRunQuery {
        /// Answer what it would do, and do nothing.
        #[param(default = false)]
        dry_run: Option<bool>,
    }

    #[into_params(parameter_in = Query)]
    IntoParams WaitQuery {
        /// Seconds to wait for the order's end.
        #[param(minimum = 0, maximum = 60)]
        wait: Option<u64>,
    }

    #[into_params(parameter_in = Query)]
    IntoParams FindQuery {
        /// The shop's own name for the order.
        r#ref: String,
        /// For keys that are not a shop's.
        shop: Option<String>,
    }

    #[into_params(parameter_in = Header)]
    IntoParams Prefer {
        /// RFC 7240: `wait=N`, N up to 60: answer when the order has ended, or after N seconds.
        #[param(rename = "Prefer", example = "wait=10")]
        prefer: Option<String>,
    }

    #[into_params(parameter_in = Header)]
    IntoParams WaybillSource {
        /// `import` when the call comes from an import; it is kept with the events.
        #[param(rename = "Waybill-Source", default = "api")]
        source: Option<String>,
    }
}
