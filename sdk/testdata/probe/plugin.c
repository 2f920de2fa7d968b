/* Asks what cdcd.h has for texts: `what` of `a` and `b`, and answers in `b`. */
#include "cdcd/cdcd.h"

enum { WHAT, A, B };

/* answer is a JSON value as it is read, and what is below it, one line each. */
static void answer(cdcd_buffer *out, cdcd_json v, cdcd_text path)
{
    while (path.len) { /* steps of a path: .name or a digit */
        size_t step = 1;
        while (step < path.len && path.at[step] != '/')
            step++;
        v = path.at[0] == '.' ? cdcd_member(v, cdcd_text_of(path.at + 1, step - 1)) : cdcd_element(v, (size_t)(path.at[0] - '0'));
        path = step < path.len ? cdcd_text_of(path.at + step + 1, path.len - step - 1) : cdcd_text_of(path.at, 0);
    }
    switch (cdcd_json_kind_of(v)) {
    case CDCD_JSON_NONE: cdcd_put(out, CDCD_TEXT("none")); break;
    case CDCD_JSON_NULL: cdcd_put(out, CDCD_TEXT("null")); break;
    case CDCD_JSON_BOOL: cdcd_put(out, cdcd_json_bool(v, false) ? CDCD_TEXT("true") : CDCD_TEXT("false")); break;
    case CDCD_JSON_NUMBER:
        cdcd_put(out, cdcd_json_number(v));
        if (cdcd_json_int(v, 7) != 7) {
            cdcd_put(out, CDCD_TEXT(" int "));
            cdcd_put_int(out, cdcd_json_int(v, 7));
        }
        break;
    case CDCD_JSON_STRING:
        cdcd_put(out, CDCD_TEXT("string "));
        cdcd_json_string(v, out);
        break;
    case CDCD_JSON_ARRAY: cdcd_put(out, CDCD_TEXT("array ")); cdcd_put(out, v.text); break;
    case CDCD_JSON_OBJECT: cdcd_put(out, CDCD_TEXT("object ")); cdcd_put(out, v.text); break;
    }
}

cdcd_verdict cdcd_filter(cdcd_event *e)
{
    static char room[1000];
    cdcd_buffer out = CDCD_BUFFER(room);
    cdcd_text a = cdcd_as_text(cdcd_after(e, A)), b = cdcd_as_text(cdcd_after(e, B));
    if (cdcd_equals(cdcd_after(e, WHAT), CDCD_TEXT("compare")))
        cdcd_put_int(&out, cdcd_compare_decimals(a, b));
    else if (cdcd_equals(cdcd_after(e, WHAT), CDCD_TEXT("float")))
        cdcd_put_uint(&out, cdcd_float_value(cdcd_json_float(cdcd_parse(a), 7)).bits);
    else
        answer(&out, cdcd_parse(a), b);
    cdcd_set(e, CDCD_AFTER, 0, cdcd_string_value(cdcd_text_in(&out)));
    return CDCD_KEEP;
}
