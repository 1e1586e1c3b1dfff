# shellcheck shell=bash disable=SC2034,SC2154 # sourced by `up`
# The lab's hardware: appends to the array devices. $run is the running lab's folder.
# An expander (pxb-pcie) fixes the bus numbers below it, so the addresses are the same at every boot:
#
#   00:10.0  edu                      no NUMA node, root-complex endpoint: no reset method
#   --- host bridge 20, NUMA node 0
#   21:00.0  NVMe PF, SR-IOV 8 VFs    (VFs 21:00.1 .. 21:01.0)
#   22:00.0  virtio-crypto
#   23:00.0  hot-plug port hp0        (empty)
#   --- host bridge 40, NUMA node 1
#   41:00.0  NVMe, plain
#   42:00.0  display: bochs-display   (class 0380)
#   43:00.0  PCIe-to-PCI bridge; behind it 44:01.0 and 44:02.0 edu: ONE IOMMU group of three
#   45:00.0  display: virtio-gpu      (class 0380)
#   46:00.0  hot-plug port hp1        (empty)
#   47:00.0  NVMe that the lab's machine has mounted at /lab/state
devices+=(
    -device intel-iommu,intremap=on,caching-mode=on,device-iotlb=on
    -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off     # native PCIe hot-plug (pciehp), as on a server

    -device edu,id=edu0,bus=pcie.0,addr=0x10

    -device pxb-pcie,id=pxb0,bus=pcie.0,addr=0x8,bus_nr=0x20,numa_node=0
    -device pcie-root-port,id=rp00,bus=pxb0,addr=0x0,chassis=10,slot=10
    -device pcie-root-port,id=rp01,bus=pxb0,addr=0x1,chassis=11,slot=11
    -device pcie-root-port,id=hp0,bus=pxb0,addr=0x2,chassis=12,slot=12
    -device pxb-pcie,id=pxb1,bus=pcie.0,addr=0x9,bus_nr=0x40,numa_node=1
    -device pcie-root-port,id=rp10,bus=pxb1,addr=0x0,chassis=20,slot=20
    -device pcie-root-port,id=rp11,bus=pxb1,addr=0x1,chassis=21,slot=21
    -device pcie-root-port,id=rp12,bus=pxb1,addr=0x2,chassis=22,slot=22
    -device pcie-root-port,id=rp13,bus=pxb1,addr=0x3,chassis=23,slot=23
    -device pcie-root-port,id=hp1,bus=pxb1,addr=0x4,chassis=24,slot=24
    -device pcie-root-port,id=rp15,bus=pxb1,addr=0x5,chassis=25,slot=25

    # SR-IOV: 8 VFs, 2 queue and 1 interrupt resources for each VF to be given out
    -device nvme-subsys,id=subsys0
    -drive "if=none,id=pfdisk,format=raw,file=$run/pf.img"
    -device nvme,id=pf,bus=rp00,serial=LABPF0,subsys=subsys0,sriov_max_vfs=8,max_ioqpairs=26,msix_qsize=26,sriov_vq_flexible=16,sriov_vi_flexible=8,sriov_max_vq_per_vf=2,sriov_max_vi_per_vf=1
    -device nvme-ns,drive=pfdisk,bus=pf,nsid=1,shared=on

    -object cryptodev-backend-builtin,id=cryptobe0
    -device virtio-crypto-pci,id=crypto0,bus=rp01,cryptodev=cryptobe0,disable-legacy=on,iommu_platform=on

    -drive "if=none,id=nvme1disk,format=raw,file=$run/nvme1.img"
    -device nvme,id=nvme1,bus=rp10,serial=LABNVME1,drive=nvme1disk
    -device bochs-display,id=gpu0,bus=rp11
    -device pcie-pci-bridge,id=pcibr,bus=rp12
    -device edu,id=edu1,bus=pcibr,addr=0x1
    -device edu,id=edu2,bus=pcibr,addr=0x2
    -device virtio-gpu-pci,id=gpu1,bus=rp13,disable-legacy=on,iommu_platform=on

    -drive "if=none,id=statedisk,format=raw,file=$run/state.img,cache=unsafe"
    -device nvme,id=state,bus=rp15,serial=LABSTATE,drive=statedisk
)
