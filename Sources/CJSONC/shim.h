// json-c, which reads JSON that the strict scan has passed.
#include <json-c/json.h>
