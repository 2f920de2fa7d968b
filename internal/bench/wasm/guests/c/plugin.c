/* Adds up what the columns are worth: numbers themselves, a text 1 if it is 'paid'. */
#include "cdcd/cdcd.h"

static unsigned columns;
static int64_t least;

cdcd_text cdcd_init(cdcd_json config)
{
    columns = (unsigned)cdcd_json_int(cdcd_member(config, CDCD_TEXT("columns")), 0);
    least = cdcd_json_int(cdcd_member(config, CDCD_TEXT("least")), 0);
    return CDCD_OK;
}

cdcd_verdict cdcd_filter(cdcd_event *e)
{
    int64_t score = 0;
    for (unsigned i = 0; i < columns; i++) {
        const cdcd_value v = cdcd_after(e, i);
        score += i % 2 ? cdcd_equals(v, CDCD_TEXT("paid")) : cdcd_as_int(v);
    }
    return score >= least ? CDCD_KEEP : CDCD_DROP;
}
