/* Convolutions by CMSIS-NN instead of kernels.c; compiled only with -DNET_CMSIS_NN. The bits stay the same: CMSIS-NN
   rounds as TFLite's reference kernels do unless it is built with CMSIS_NN_USE_SINGLE_ROUNDING. */
#ifdef NET_CMSIS_NN
#include "arm_nnfunctions.h"
#include "kernels.h"
#include "net.h"

#ifdef CMSIS_NN_USE_SINGLE_ROUNDING
#error "single rounding gives other bits than the reference"
#endif

static int32_t scratch[(NET_CMSIS_NN_SCRATCH + 3) / 4];
int net_cmsis_nn_failures; /* calls that CMSIS-NN refused, or for which the scratch memory is too small */

static int fits(int32_t size) { return size <= (int32_t)sizeof scratch; }

static void count(int done) { net_cmsis_nn_failures += !done; }

static cmsis_nn_dims dims_of(net_shape shape) {
  cmsis_nn_dims dims = {1, shape.height, shape.width, shape.channels};
  return dims;
}

void net_conv_run(const net_conv *p, const int8_t *input, int8_t *output) {
  const net_window *w = &p->window;
  const cmsis_nn_context context = {scratch, (int32_t)sizeof scratch};
  const cmsis_nn_conv_params parameters = {
      -p->input_zero, p->output_zero, {w->stride_x, w->stride_y}, {w->pad_left, w->pad_top}, {1, 1}, {p->low, p->high}};
  const cmsis_nn_per_channel_quant_params scaling = {(int32_t *)p->multipliers, (int32_t *)p->shifts};
  const cmsis_nn_dims in = dims_of(p->input), out = dims_of(p->output);
  const cmsis_nn_dims filter = {p->output.channels, w->height, w->width, p->input.channels};
  const cmsis_nn_dims bias = {1, 1, 1, p->output.channels};
  count(fits(arm_convolve_wrapper_s8_get_buffer_size(&parameters, &in, &filter, &out)) &&
        arm_convolve_wrapper_s8(&context, &parameters, &scaling, &in, input, &filter, p->weights, &bias, p->bias, &out,
                                output) == ARM_CMSIS_NN_SUCCESS);
}

void net_depthwise_run(const net_conv *p, const int8_t *input, int8_t *output) {
  const net_window *w = &p->window;
  const cmsis_nn_context context = {scratch, (int32_t)sizeof scratch};
  const cmsis_nn_dw_conv_params parameters = {
      -p->input_zero, p->output_zero, 1, {w->stride_x, w->stride_y}, {w->pad_left, w->pad_top}, {1, 1}, {p->low, p->high}};
  const cmsis_nn_per_channel_quant_params scaling = {(int32_t *)p->multipliers, (int32_t *)p->shifts};
  const cmsis_nn_dims in = dims_of(p->input), out = dims_of(p->output);
  const cmsis_nn_dims filter = {1, w->height, w->width, p->input.channels};
  const cmsis_nn_dims bias = {1, 1, 1, p->output.channels};
  count(fits(arm_depthwise_conv_wrapper_s8_get_buffer_size(&parameters, &in, &filter, &out)) &&
        arm_depthwise_conv_wrapper_s8(&context, &parameters, &scaling, &in, input, &filter, p->weights, &bias, p->bias,
                                      &out, output) == ARM_CMSIS_NN_SUCCESS);
}
#else
typedef int net_no_cmsis_nn; /* C does not allow an empty file */
#endif
