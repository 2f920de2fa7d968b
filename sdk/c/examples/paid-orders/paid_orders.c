/* Keeps orders when their status has become 'paid' and their total is at least a threshold. What customers have noted is masked. */
#include "cdcd.h"

/* The columns, in the order of plugin.yaml; what may be edited, and what is counted. */
enum { STATUS, TOTAL, NOTE };
enum { EDIT_NOTE };
enum { METRIC_BIG };

static char digits[64] = "1000";
static cdcd_text threshold = {digits, 4};

cdcd_text cdcd_init(cdcd_json config)
{
    cdcd_json given = cdcd_member(config, CDCD_TEXT("threshold"));
    if (cdcd_json_kind_of(given) == CDCD_JSON_NUMBER) {
        cdcd_buffer room = CDCD_BUFFER(digits);
        cdcd_put(&room, cdcd_json_number(given));
        threshold = cdcd_text_in(&room);
    }
    return CDCD_OK;
}

cdcd_verdict cdcd_filter(cdcd_event *e)
{
    if (cdcd_op_of(e) != CDCD_UPDATE || !cdcd_changed(e, STATUS) || !cdcd_equals(cdcd_after(e, STATUS), CDCD_TEXT("paid")))
        return CDCD_DROP;
    const cdcd_value total = cdcd_after(e, TOTAL);
    if (total.kind != CDCD_DECIMAL || cdcd_compare_decimals(cdcd_as_text(total), threshold) < 0) /* NULL is no number */
        return CDCD_DROP;
    cdcd_tag(e, CDCD_TEXT("big"));
    cdcd_metric(METRIC_BIG, 1);
    const cdcd_value masked = cdcd_string_value(CDCD_TEXT("***"));
    if (cdcd_as_text(cdcd_before(e, NOTE)).len)
        cdcd_set(e, CDCD_BEFORE, EDIT_NOTE, masked);
    if (cdcd_as_text(cdcd_after(e, NOTE)).len)
        cdcd_set(e, CDCD_AFTER, EDIT_NOTE, masked);
    return CDCD_KEEP;
}
