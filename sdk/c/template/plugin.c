/* {{name}}, a plugin of cdcd. */
#include "cdcd/cdcd.h"

/* The columns, in the order of `columns` in plugin.yaml. */
enum { STATUS, TOTAL };

static char digits[64] = "1000";
static cdcd_text threshold = {digits, 4};

/* cdcd_init takes the configuration of the rule, which fits the schema in plugin.yaml. */
cdcd_text cdcd_init(cdcd_json config)
{
    cdcd_json given = cdcd_member(config, CDCD_TEXT("threshold"));
    if (cdcd_json_kind_of(given) == CDCD_JSON_NONE)
        return CDCD_OK;
    cdcd_buffer room = CDCD_BUFFER(digits); /* what is to be kept is copied */
    cdcd_put(&room, cdcd_json_number(given));
    threshold = cdcd_text_in(&room);
    return CDCD_OK;
}

/* cdcd_filter is asked about every change. */
cdcd_verdict cdcd_filter(cdcd_event *e)
{
    if (!cdcd_changed(e, STATUS) || !cdcd_equals(cdcd_after(e, STATUS), CDCD_TEXT("paid")))
        return CDCD_DROP;
    const cdcd_value total = cdcd_after(e, TOTAL);
    if (total.kind == CDCD_DECIMAL && cdcd_compare_decimals(cdcd_as_text(total), threshold) >= 0) /* NULL is no number */
        cdcd_tag(e, CDCD_TEXT("big"));
    return CDCD_KEEP;
}
