// torch's CPU wheel ships the headers of c10/cuda without this one. With it the bindings compile on a machine whose
// torch has no CUDA; it is never on the include path of a torch that has.
#pragma once
