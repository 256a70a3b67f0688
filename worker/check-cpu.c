/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "check.h"

/* Whether the flags of the first processor have the word. */
static bool has_flag(const CheckHost *host, const char *flag) {
        const char *line = strstr(host->cpuinfo, "\nflags");
        _cleanup_free_ char *flags = NULL;
        char *save = NULL;

        flags = line ? strndup(line + 1, strcspn(line + 1, "\n")) : NULL;
        for (char *word = flags ? strtok_r(flags, " \t:", &save) : NULL; word; word = strtok_r(NULL, " \t:", &save))
                if (streq(word, flag))
                        return true;
        return false;
}

void check_cpu(Check *check) {
        const CheckHost *host = check->host;

        if (host->vendor == CPU_OTHER) {
                bool kvm = check_exists(host, "/dev/kvm");

                check_evidence(check, "/proc/cpuinfo names neither an Intel nor an AMD processor");
                check_evidence(check, "/dev/kvm is %s", kvm ? "there" : "not there");
                check_result(check, kvm ? CHECK_PASS : CHECK_UNKNOWN, "%s",
                             kvm ? "The kernel can run virtual machines" : "This kind of processor does not say whether it can");
                return;
        }
        bool intel = host->vendor == CPU_INTEL, has = has_flag(host, intel ? "vmx" : "svm");
        check_evidence(check, "/proc/cpuinfo: flags %s %s%s", has ? "have" : "lack", intel ? "vmx" : "svm",
                       has_flag(host, "hypervisor") ? ", and have hypervisor: this is a virtual machine itself" : "");
        if (has) {
                check_result(check, CHECK_PASS, "The processor has %s", intel ? "VT-x (vmx)" : "AMD-V (svm)");
                return;
        }
        check_result(check, CHECK_FAIL, "The processor does not offer %s", intel ? "VT-x (vmx)" : "AMD-V (svm)");
        check->reboot = true;
        if (has_flag(host, "hypervisor"))
                check_remedy(check, "Let the hypervisor below pass virtualisation on to this machine (nested virtualisation).");
        else
                check_remedy(check, "In the firmware setup switch on %s, save, and power the host off and on.",
                             intel ? "\"Intel Virtualization Technology\" (VT-x, VMX)" : "\"SVM Mode\" (AMD-V)");
}

void check_kvm(Check *check) {
        const CheckHost *host = check->host;
        bool node = check_exists(host, "/dev/kvm"), module = check_exists(host, "/sys/module/kvm");

        check_evidence(check, "/dev/kvm is %s", node ? "there" : "not there");
        check_evidence(check, "/sys/module/kvm is %s", module ? "there" : "not there");
        if (node) {
                check_result(check, CHECK_PASS, "KVM is there");
                return;
        }
        check_result(check, CHECK_FAIL, "KVM is not there: virtual machines would be emulated");
        check_remedy(check, "Mend what \"cpu-virtualisation\" says, if anything; then: modprobe %s",
                     host->vendor == CPU_INTEL ? "kvm_intel" : host->vendor == CPU_AMD ? "kvm_amd" : "kvm");
}
