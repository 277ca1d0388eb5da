/* Runs the test cases of cases.h and compares all outputs; the hash says whether two machines agree. */
#include <stdio.h>
#include "cases.h"
#include "net.h"

int main(void) {
  long mismatches = 0, values = 0;
  uint32_t hash = 2166136261u; /* FNV-1a */
  for (int n = 0; n < NET_CASES; n++) {
    for (int32_t k = 0; k < net_input.size; k++) net_input.data[k] = net_case_inputs[n][k];
    net_run();
    const int8_t *expected = net_case_outputs[n];
    for (int o = 0; o < NET_OUTPUTS; o++)
      for (int32_t k = 0; k < net_outputs[o].size; k++) {
        int8_t value = net_outputs[o].data[k];
        mismatches += value != *expected++;
        values++;
        hash = (hash ^ (uint8_t)value) * 16777619u;
      }
  }
#ifdef NET_CMSIS_NN
  mismatches += net_cmsis_nn_failures;
#endif
  printf("cases %d, values %ld, mismatches %ld, hash %08lx\n", NET_CASES, values, mismatches, (unsigned long)hash);
  return mismatches != 0;
}
